// Symbols that tell their number: pointed at, focused or tapped, a symbol says what it is now, and a ring shows where in
// the picture it sits.
const Symbols = (() => {
  "use strict";

  function build(bubble, mark) {
    let told = {}; // symbol -> its name, value, places
    let current = null; // the element whose bubble is shown
    let isHeld = false; // tapped: it stays when the pointer goes

    const symbols = () => [...document.querySelectorAll(".symbol")];

    function open(element) {
      close();
      const { name, value, places } = told[element.dataset.symbol];
      current = element;
      bubble.replaceChildren(Object.assign(document.createElement("strong"), { textContent: value }), ` ${name}`);
      bubble.hidden = false;
      stand(element);
      for (const same of symbols()) same.classList.toggle("lit", same.dataset.symbol === element.dataset.symbol);
      mark(places);
    }

    // Above the symbol where there is room, else below; never beyond the page's edges.
    function stand(element) {
      const box = element.getBoundingClientRect();
      const [width, height] = [bubble.offsetWidth, bubble.offsetHeight];
      const most = document.documentElement.clientWidth - width - 8;
      const left = Math.max(8, Math.min(most, box.left + box.width / 2 - width / 2));
      const top = box.top - height - 8 > 0 ? box.top - height - 8 : box.bottom + 8;
      bubble.style.transform = `translate(${Math.round(left)}px, ${Math.round(top)}px)`;
    }

    function close() {
      if (!current) return;
      current = null;
      isHeld = false;
      bubble.hidden = true;
      for (const element of symbols()) element.classList.remove("lit");
      mark([]);
    }

    function walk(event) {
      const row = [...event.currentTarget.closest("math").querySelectorAll(".symbol")];
      const by = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      const next = row[row.indexOf(event.currentTarget) + by];
      if (!next) return;
      event.preventDefault();
      row.forEach((element) => element.setAttribute("tabindex", element === next ? 0 : -1));
      next.focus();
    }

    function listen(element) {
      element.addEventListener("pointerenter", () => isHeld || open(element));
      element.addEventListener("pointerleave", () => isHeld || close());
      element.addEventListener("focus", () => open(element));
      element.addEventListener("blur", close);
      element.addEventListener("keydown", walk);
      element.addEventListener("click", () => {
        open(element);
        isHeld = true;
      });
    }

    for (const math of document.querySelectorAll(".equation math")) {
      math.querySelectorAll(".symbol").forEach((element, n) => {
        element.setAttribute("tabindex", n === 0 ? 0 : -1);
        listen(element);
      });
    }
    addEventListener("keydown", (event) => event.key === "Escape" && close());
    addEventListener("pointerdown", (event) => event.target.closest(".symbol") || close());
    addEventListener("scroll", () => current && stand(current), { passive: true });

    // The numbers have changed.
    function tell(symbolsNow) {
      told = symbolsNow;
      for (const element of symbols()) {
        const { name, value } = told[element.dataset.symbol];
        element.setAttribute("aria-label", `${name}: ${value}`);
      }
      if (current) open(current);
    }

    return { tell };
  }

  return { build };
})();
