// Give every viewer of the page its structures. The page keeps them short: symbols once where all structures have the
// same atoms, coordinates in one list; chemiscope's input (https://chemiscope.org/docs/embedding.html) is made here.
(() => {
  "use strict";

  // JSON has no NaN
  const numbers = (values) => values.map((value) => (value === null ? NaN : value));

  function dataset(given) {
    const environments = [];
    const structures = given.positions.map((flat, k) => {
      const names = given.symbols[given.symbols.length === 1 ? 0 : k];
      const column = (axis) => names.map((_, atom) => flat[3 * atom + axis]);
      const structure = { size: names.length, names, x: column(0), y: column(1), z: column(2) };
      if (given.cells !== null && given.cells[k] !== null) structure.cell = given.cells[k];
      if (given.perAtom) names.forEach((_, center) => environments.push({ structure: k, center, cutoff: 3.5 }));
      return structure;
    });
    const properties = {};
    for (const [name, property] of Object.entries(given.properties)) {
      properties[name] = { ...property, values: typeof property.values[0] === "string" ? property.values : numbers(property.values) };
    }
    const made = { meta: { name: given.name }, structures, properties, settings: given.settings };
    if (given.perAtom) made.environments = environments;
    return made;
  }

  async function show(element) {
    const id = element.id;
    const trouble = element.querySelector(".trouble");
    const began = performance.now();
    try {
      const given = JSON.parse(document.getElementById(`${id}-data`).textContent);
      const warnings = new Chemiscope.Warnings();
      warnings.addHandler((message) => { trouble.textContent = message; });
      const places = { meta: `${id}-meta`, map: `${id}-map`, structure: `${id}-structure`, info: `${id}-info` };
      const viewer = await Chemiscope.DefaultVisualizer.load(places, dataset(given), warnings);
      element.viewer = viewer; // for whoever wants to go on from the browser's console
      element.dataset.loadedMs = Math.round(performance.now() - began);
    } catch (error) {
      trouble.textContent = `The structures cannot be shown here (${error.message}). They need WebGL.`;
      element.dataset.failed = error.message;
    }
  }

  window.addEventListener("load", () => document.querySelectorAll(".viewer").forEach(show));
})();
