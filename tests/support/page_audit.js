(() => {
  const faults = [];
  const name = (element) => `${element.tagName.toLowerCase()}.${element.getAttribute("class") || ""} "${(element.textContent || "").trim().slice(0, 40)}"`;
  const root = document.documentElement;
  if (root.scrollWidth > root.clientWidth) {
    const wide = [...document.querySelectorAll("body *")].find((one) => one.getBoundingClientRect().right > root.clientWidth + 1 && !one.closest(".scroll, .skip"));
    faults.push(`the page is ${root.scrollWidth} wide in ${root.clientWidth}: ${wide ? name(wide) : "?"}`);
  }

  const canvas = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
  // Any notation of a colour as red, green, blue and opacity.
  const colour = (text) => {
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = text;
    canvas.fillRect(0, 0, 1, 1);
    const [r, g, b, a] = canvas.getImageData(0, 0, 1, 1).data;
    return [r, g, b, a / 255];
  };
  const over = (top, below) => [0, 1, 2].map((n) => top[n] * top[3] + below[n] * (1 - top[3])).concat(1);
  const light = (rgb) => {
    const [r, g, b] = rgb.map((part) => { const s = part / 255; return s <= 0.03928 ? s / 12.92 : ((s + 0.055) / 1.055) ** 2.4; });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const contrast = (a, b) => { const [x, y] = [light(a), light(b)].sort((m, n) => n - m); return (x + 0.05) / (y + 0.05); };
  // The ground of an element: of SVG the shapes under its middle, of HTML the backgrounds of its ancestors.
  const ground = (element) => {
    const layers = [];
    if (element.ownerSVGElement) {
      const box = element.getBoundingClientRect();
      const [x, y] = [box.left + Math.min(box.width / 2, 6), box.top + box.height / 2];
      const shapes = [...element.ownerSVGElement.querySelectorAll("rect")].filter((shape) => {
        const at = shape.getBoundingClientRect();
        const isBefore = shape.compareDocumentPosition(element) & Node.DOCUMENT_POSITION_FOLLOWING;
        return isBefore && at.left <= x && x <= at.right && at.top <= y && y <= at.bottom;
      });
      layers.push(...shapes.reverse().map((shape) => colour(getComputedStyle(shape).fill)));
    }
    for (let one = element.ownerSVGElement || element; one; one = one.parentElement) layers.push(colour(getComputedStyle(one).backgroundColor));
    return layers.reverse().reduce((below, top) => over(top, below), [255, 255, 255, 1]);
  };
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let text = texts.nextNode(); text; text = texts.nextNode()) {
    const element = text.parentElement;
    const style = getComputedStyle(element);
    if (!text.data.trim() || style.visibility === "hidden" || !element.getClientRects().length || ["TITLE", "title", "OPTION"].includes(element.tagName)) continue;
    if (element.closest(".read, .skip") || element.closest("details:not([open]) > :not(summary)")) continue;
    const below = ground(element);
    const ratio = contrast(over(colour(element.ownerSVGElement ? style.fill : style.color), below), below);
    if (ratio < 4.5) faults.push(`contrast ${ratio.toFixed(2)} of ${name(element)}`);
  }

  // Labels of a drawing do not cover each other.
  for (const drawing of document.querySelectorAll("svg")) {
    const labels = [...drawing.querySelectorAll("text")].map((label) => [label, label.getBoundingClientRect()]);
    labels.forEach(([label, a], n) => labels.slice(n + 1).forEach(([other, b]) => {
      const [width, height] = [Math.min(a.right, b.right) - Math.max(a.left, b.left), Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top)];
      if (width > 1 && height > 4) faults.push(`${name(label)} covers ${name(other)}`);
    }));
  }

  // A coloured thing has a word or a sign besides: strips describe themselves, marks of results have text or a title.
  for (const strip of document.querySelectorAll("svg[role=img]")) if (!strip.getAttribute("aria-label")) faults.push(`no words for ${name(strip)}`);
  for (const sign of document.querySelectorAll(".state, .rank, a.day")) if (!/[^\d\s]/.test(sign.textContent)) faults.push(`only a colour: ${name(sign)}`);
  for (const bar of document.querySelectorAll("svg.night a")) if (!bar.getAttribute("aria-label")) faults.push(`no words for a bar`);
  return [...new Set(faults)];
})()
