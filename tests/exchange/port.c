/* A port of the article network, 784-30-10, in plain C99: what goes through the door `backproof export | verify`.
 *
 *     port DIR [MISTAKE]
 *
 * reads the export in DIR (architecture.json for steps, batch size and learning rate; tensors/initial.bin and
 * tensors/batches.bin by their documented layout), trains, and writes every named tensor of every step to
 * DIR/trace/trace.bin with DIR/trace/index.json. -DREAL=float computes in float32.
 *
 * MISTAKE is one of those below, made at every step: the tests let verify find it.
 */
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifndef REAL
#define REAL double
#endif
typedef REAL real;

enum { IN = 784, HIDDEN = 30, OUT = 10 };

static const char *mistake = "";
static FILE *trace, *list;
static long offset;
static int step, entries;

static int wrong(const char *name) { return strcmp(mistake, name) == 0; }

static void fail(const char *what, const char *name) {
    fprintf(stderr, "port: %s %s\n", what, name);
    exit(1);
}

static void *array(size_t count, size_t size) {
    void *made = calloc(count, size);
    if (!made) fail("no memory", "");
    return made;
}

static FILE *open_in(const char *folder, const char *name, const char *mode) {
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, mode);
    if (!file) fail("cannot open", path);
    return file;
}

static void take(FILE *file, void *values, size_t size, size_t count) {
    if (fread(values, size, count, file) != count) fail("too short:", "a raw binary");
}

/* The first number that follows "key": in the architecture: enough for steps, batch_size and lr. */
static double number_of(const char *text, const char *key) {
    char quoted[64];
    snprintf(quoted, sizeof quoted, "\"%s\": ", key);
    const char *found = strstr(text, quoted);
    if (!found) fail("architecture.json lacks", key);
    return strtod(found + strlen(quoted), NULL);
}

/* Append a tensor to trace.bin and its entry to index.json; rows 0 for a vector, columns 0 for a scalar. */
static void record(const char *name, const real *values, int rows, int columns) {
    size_t count = (size_t)(rows ? rows : 1) * (size_t)(columns ? columns : 1);
    long length = (long)(count * sizeof(real));
    fprintf(list, "%s{\"step\": %d, \"name\": \"%s\", \"dtype\": \"%s\", \"shape\": [", entries++ ? ",\n" : "[\n", step,
            name, sizeof(real) == 8 ? "float64" : "float32");
    if (rows) fprintf(list, "%d, ", rows);
    if (columns) fprintf(list, "%d", columns);
    fprintf(list, "], \"file\": \"trace.bin\", \"offset\": %ld, \"length\": %ld}", offset, length);
    if (fwrite(values, sizeof(real), count, trace) != count) fail("cannot write", name);
    offset += length;
}

/* z = x w^T + b, with w (out, in) as in torch */
static void linear(const real *x, const real *w, const real *b, real *z, int n, int in, int out) {
    for (int e = 0; e < n; e++)
        for (int j = 0; j < out; j++) {
            real sum = b[j];
            for (int i = 0; i < in; i++) sum += x[e * in + i] * w[j * in + i];
            z[e * out + j] = sum;
        }
}

static void sigmoid(const real *z, real *a, int count) {
    for (int i = 0; i < count; i++) a[i] = 1 / (1 + (real)exp((double)-z[i]));
}

/* dz = da a (1 - a) */
static void sigmoid_backward(const real *da, const real *a, real *dz, int count) {
    for (int i = 0; i < count; i++) {
        real slope = a[i] * (1 - a[i]);
        if (wrong("no-derivative")) slope = 1;
        if (wrong("derivative-without-rest")) slope = a[i];
        dz[i] = da[i] * slope;
    }
}

/* dw = dz^T x and db = sum of dz over the batch */
static void linear_gradients(const real *dz, const real *x, real *dw, real *db, int n, int in, int out) {
    memset(dw, 0, sizeof(real) * (size_t)(in * out));
    memset(db, 0, sizeof(real) * (size_t)out);
    for (int e = 0; e < n; e++)
        for (int j = 0; j < out; j++) {
            if (e == 0 || !wrong("bias-first-example")) db[j] += dz[e * out + j];
            for (int i = 0; i < in; i++) {
                /* The product x^T dz, of shape (in, out), written where (out, in) is meant. */
                int at = wrong("transposed-product") ? i * out + j : j * in + i;
                dw[at] += dz[e * out + j] * x[e * in + i];
            }
        }
}

/* dx = dz w */
static void linear_backward(const real *dz, const real *w, real *dx, int n, int in, int out) {
    for (int e = 0; e < n; e++)
        for (int i = 0; i < in; i++) {
            real sum = 0;
            for (int j = 0; j < out; j++) sum += dz[e * out + j] * w[j * in + i];
            dx[e * in + i] = sum;
        }
}

static void update(real *p, const real *dp, double lr, int count) {
    if (wrong("learning-rate")) lr *= 0.9;
    for (int i = 0; i < count; i++) p[i] = wrong("update-adds") ? p[i] + (real)lr * dp[i] : p[i] - (real)lr * dp[i];
}

int main(int count, char **words) {
    if (count < 2) fail("usage:", "port DIR [MISTAKE]");
    const char *folder = words[1];
    if (count > 2) mistake = words[2];

    static char text[1 << 20];
    FILE *file = open_in(folder, "architecture.json", "rb");
    text[fread(text, 1, sizeof text - 1, file)] = 0;
    fclose(file);
    int steps = (int)number_of(text, "steps"), n = (int)number_of(text, "batch_size");
    double lr = number_of(text, "lr");

    real *w1 = array(HIDDEN * IN, sizeof(real)), *b1 = array(HIDDEN, sizeof(real));
    real *w2 = array(OUT * HIDDEN, sizeof(real)), *b2 = array(OUT, sizeof(real));
    file = open_in(folder, "tensors/initial.bin", "rb");
    take(file, w1, sizeof(real), HIDDEN * IN);
    take(file, b1, sizeof(real), HIDDEN);
    take(file, w2, sizeof(real), OUT * HIDDEN);
    take(file, b2, sizeof(real), OUT);
    fclose(file);

    size_t batch = (size_t)n;
    real *x = array(batch * IN, sizeof(real)), *z1 = array(batch * HIDDEN, sizeof(real));
    real *a1 = array(batch * HIDDEN, sizeof(real)), *z2 = array(batch * OUT, sizeof(real));
    real *a2 = array(batch * OUT, sizeof(real)), *da2 = array(batch * OUT, sizeof(real));
    real *dz2 = array(batch * OUT, sizeof(real)), *da1 = array(batch * HIDDEN, sizeof(real));
    real *dz1 = array(batch * HIDDEN, sizeof(real));
    real *dw1 = array(HIDDEN * IN, sizeof(real)), *db1 = array(HIDDEN, sizeof(real));
    real *dw2 = array(OUT * HIDDEN, sizeof(real)), *db2 = array(OUT, sizeof(real));
    int64_t *labels = array(batch, sizeof(int64_t));

    file = open_in(folder, "tensors/batches.bin", "rb");
    trace = open_in(folder, "trace/trace.bin", "wb");
    list = open_in(folder, "trace/index.json", "w");
    for (step = 1; step <= steps; step++) {
        take(file, x, sizeof(real), batch * IN);
        take(file, labels, sizeof(int64_t), batch);

        linear(x, w1, b1, z1, n, IN, HIDDEN);
        sigmoid(z1, a1, n * HIDDEN);
        linear(a1, w2, b2, z2, n, HIDDEN, OUT);
        sigmoid(z2, a2, n * OUT);

        /* C = 1/(2N) sum of (a - t)^2, and dC/da = (a - t)/N */
        real loss = 0;
        for (int i = 0; i < n * OUT; i++) {
            real t = i % OUT == labels[i / OUT] ? 1 : 0, d = a2[i] - t;
            loss += d * d;
            da2[i] = wrong("no-1/N") ? d : d / (real)n;
        }
        loss /= (real)((wrong("no-half") ? 1 : 2) * n);

        sigmoid_backward(da2, a2, dz2, n * OUT);
        linear_gradients(dz2, a1, dw2, db2, n, HIDDEN, OUT);
        if (wrong("updated-weight")) update(w2, dw2, lr, OUT * HIDDEN);
        linear_backward(dz2, w2, da1, n, HIDDEN, OUT);
        sigmoid_backward(da1, a1, dz1, n * HIDDEN);
        linear_gradients(dz1, x, dw1, db1, n, IN, HIDDEN);

        update(w1, dw1, lr, HIDDEN * IN);
        update(b1, db1, lr, HIDDEN);
        if (!wrong("updated-weight")) update(w2, dw2, lr, OUT * HIDDEN);
        update(b2, db2, lr, OUT);

        record("linear1.output", z1, n, HIDDEN);
        record("sigmoid1.output", a1, n, HIDDEN);
        record("linear2.output", z2, n, OUT);
        record("sigmoid2.output", a2, n, OUT);
        record("loss", &loss, 0, 0);
        record("sigmoid2.output.grad", da2, n, OUT);
        record("linear2.output.grad", dz2, n, OUT);
        record("linear2.weight.grad", dw2, OUT, HIDDEN);
        record("linear2.bias.grad", db2, 0, OUT);
        record("sigmoid1.output.grad", da1, n, HIDDEN);
        record("linear1.output.grad", dz1, n, HIDDEN);
        record("linear1.weight.grad", dw1, HIDDEN, IN);
        record("linear1.bias.grad", db1, 0, HIDDEN);
        record("linear1.weight.updated", w1, HIDDEN, IN);
        record("linear1.bias.updated", b1, 0, HIDDEN);
        record("linear2.weight.updated", w2, OUT, HIDDEN);
        record("linear2.bias.updated", b2, 0, OUT);
    }
    fprintf(list, "\n]\n");
    return fclose(list) || fclose(trace) || fclose(file);
}
