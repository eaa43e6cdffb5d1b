// Numbers: how they are read out of the page, and how they are written for a reader.
const Numbers = (() => {
  "use strict";

  const bytes = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  const floats = (text) => new Float64Array(bytes(text).buffer); // little-endian, as every browser's machine is

  // A tensor of autograd: of a weight's gradient only the rows and columns that are not all zero have been kept.
  function tensor({ shape, rows, columns, values }) {
    const kept = floats(values);
    if (!rows) return kept;
    const whole = new Float64Array(shape[0] * shape[1]);
    rows.forEach((row, r) => {
      columns.forEach((column, c) => (whole[row * shape[1] + column] = kept[r * columns.length + c]));
    });
    return whole;
  }

  const mapped = (object, of) => Object.fromEntries(Object.entries(object).map(([name, value]) => [name, of(value)]));
  const instant = ({ step, parameters, autograd }) => ({
    step, parameters: mapped(parameters, floats), autograd: mapped(autograd, tensor),
  });

  const RAISED = "⁰¹²³⁴⁵⁶⁷⁸⁹";
  const power = (exponent) => [...String(Number(exponent))].map((letter) => RAISED[letter] ?? "⁻").join("");

  // Six digits, or as many as are wanted: 0.123457, −12.3457, 1.23457 × 10⁻⁷.
  function show(value, digits = 6) {
    if (value === 0) return "0";
    if (!Number.isFinite(value)) return String(value).replace("Infinity", "∞");
    const size = Math.abs(value);
    const [mantissa, exponent] = value.toExponential(digits - 1).split("e");
    const text = size >= 1e-3 && size < 1e6 ? value.toPrecision(digits) : `${mantissa} × 10${power(exponent)}`;
    return text.replace("-", "−");
  }

  // A number as a factor behind a sign: a negative one in brackets.
  const factor = (value, digits = 6) => (value < 0 ? `(${show(value, digits)})` : show(value, digits));

  // On how many digits two numbers agree whose relative distance is this.
  const agreed = (distance) => Math.max(0, Math.min(16, Math.floor(-Math.log10(distance))));

  // A sentence of the dictionary with its values put in.
  const filled = (sentence, values = {}) => sentence.replace(/\{(\w+)\}/g, (slot, name) => values[name] ?? slot);

  return { bytes, instant, show, factor, agreed, filled };
})();
