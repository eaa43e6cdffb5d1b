// A digit of the reader's own: 28 x 28 pixels of 0 to 255, drawn with a pointer or with the keyboard.
const Drawing = (() => {
  "use strict";

  const SIDE = 28;
  const BRUSH = 1.35; // pixels: the strokes of the data are about three wide
  const MOVES = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

  // `changed` is called with the pixels after every stroke; `say` with a sentence about the keyboard's brush.
  function build(canvas, words, changed, say) {
    const pixels = new Uint8Array(SIDE * SIDE);
    const pen = { x: 14, y: 6, isSeen: false };
    let last = null; // where the pointer was

    // Ink falls off with the distance from the brush's centre, as in a scanned stroke; whatever is darker stays.
    function dab(x, y, erases) {
      for (let row = Math.max(0, Math.floor(y - 3)); row <= Math.min(SIDE - 1, y + 3); row++)
        for (let column = Math.max(0, Math.floor(x - 3)); column <= Math.min(SIDE - 1, x + 3); column++) {
          const away = Math.hypot(column + 0.5 - x, row + 0.5 - y);
          const ink = Math.round(255 * Math.max(0, Math.min(1, BRUSH + 0.5 - away)));
          const n = row * SIDE + column;
          pixels[n] = erases ? Math.min(pixels[n], 255 - ink) : Math.max(pixels[n], ink);
        }
    }

    function stroke(to, erases) {
      const from = last ?? to;
      const count = Math.max(1, Math.ceil(Math.hypot(to.x - from.x, to.y - from.y) * 3));
      for (let n = 1; n <= count; n++) {
        const share = n / count;
        dab(from.x + (to.x - from.x) * share, from.y + (to.y - from.y) * share, erases);
      }
      last = to;
      paint();
      changed(pixels);
    }

    function paint() {
      const scale = canvas.width / SIDE;
      const context = canvas.getContext("2d");
      const ink = getComputedStyle(canvas).color;
      context.clearRect(0, 0, canvas.width, canvas.height);
      context.fillStyle = ink;
      pixels.forEach((value, n) => {
        context.globalAlpha = value / 255;
        context.fillRect((n % SIDE) * scale, Math.floor(n / SIDE) * scale, scale, scale);
      });
      context.globalAlpha = 1;
      if (!pen.isSeen) return;
      context.strokeStyle = getComputedStyle(canvas).getPropertyValue("--third");
      context.lineWidth = 3;
      context.strokeRect(pen.x * scale - 1, pen.y * scale - 1, scale + 2, scale + 2);
    }

    const place = (event) => {
      const box = canvas.getBoundingClientRect();
      return { x: ((event.clientX - box.left) / box.width) * SIDE, y: ((event.clientY - box.top) / box.height) * SIDE };
    };
    canvas.addEventListener("pointerdown", (event) => {
      canvas.setPointerCapture(event.pointerId);
      last = null;
      pen.isSeen = false;
      stroke(place(event), event.button === 2 || event.shiftKey);
    });
    canvas.addEventListener("pointermove", (event) => {
      if (!last || !event.buttons) return;
      for (const part of event.getCoalescedEvents?.() ?? [event]) stroke(place(part), event.shiftKey);
    });
    for (const end of ["pointerup", "pointercancel"]) canvas.addEventListener(end, () => (last = null));
    canvas.addEventListener("contextmenu", (event) => event.preventDefault());

    // Keyboard: arrows move the brush, Space draws, Backspace erases; with Shift the arrows draw as they go.
    canvas.addEventListener("keydown", (event) => {
      const move = MOVES[event.key];
      const [draws, erases] = [event.key === " " || event.key === "Enter", ["Backspace", "Delete"].includes(event.key)];
      if (!move && !draws && !erases) return;
      event.preventDefault();
      pen.isSeen = true;
      if (move) [pen.x, pen.y] = [pen.x + move[0], pen.y + move[1]].map((v) => Math.max(0, Math.min(SIDE - 1, v)));
      last = null;
      if (draws || erases || event.shiftKey) stroke({ x: pen.x + 0.5, y: pen.y + 0.5 }, erases);
      paint();
      say(Numbers.filled(words.pen, { row: pen.y, column: pen.x, ink: pixels[pen.y * SIDE + pen.x] }));
    });
    canvas.addEventListener("focus", () => ((pen.isSeen = canvas.matches(":focus-visible")), paint()));
    canvas.addEventListener("blur", () => ((pen.isSeen = false), paint()));
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", paint);

    function put(values) {
      pixels.set(values);
      paint();
    }

    put(pixels);
    return { pixels, put };
  }

  return { build };
})();
