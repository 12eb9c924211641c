// Chunks that are always read together become one file: each file that Node opens, resolves and compiles costs a task's start about a millisecond.

/**
 * Puts chunks into packs. In: the files of a bundle by name (CommonJS), what each requires (`{ name: [{ file, lazy }] }`), and packs as
 * `{ entry: [lazy chunks that go with it] }`; the first pack's entry is the bundle's. A pack holds its entry, the chunks that go with it and
 * all that these require at once, as functions that run when they are first required, each once, in the order they always had.
 * Out: the files again, without those that were put into another.
 */
export function packed(files, requires, packs) {
  const [start] = Object.keys(packs);
  /** Chunk to the pack that holds it. */
  const home = {};
  for (const [entry, more] of Object.entries(packs)) {
    for (const name of closure([entry, ...more], requires)) home[name] ??= entry;
  }
  const result = {};
  for (const [name, code] of Object.entries(files)) {
    if (home[name] === undefined) result[name] = elsewhere(code, home, start);
    else if (home[name] === name) {
      const parts = Object.keys(files).filter((part) => home[part] === name);
      result[name] = pack(name, parts, files, name === start ? home : undefined, start);
    }
  }
  return result;
}

/** A chunk and all that it requires at once. */
function closure(names, requires) {
  const found = new Set();
  const visit = (name) => {
    if (found.has(name)) return;
    found.add(name);
    for (const { file, lazy } of requires[name] ?? []) if (!lazy) visit(file);
  };
  names.forEach(visit);
  return found;
}

/** A file of its own asks the bundle's entry for what lies in a pack. */
function elsewhere(code, home, start) {
  return code.replaceAll(/\brequire\("(\.\/[^"]+)"\)/g, (whole, path) =>
    home[path.slice(2)] === undefined ? whole : `require("./${start}")("${path}")`,
  );
}

function pack(name, parts, files, home, start) {
  // In brackets: functions that run at once are compiled at once, not read twice.
  const functions = parts.map((part) => `"./${part}":(function(module,exports,require){${bare(files[part])}\n})`).join(',\n');
  if (!home)
    return `"use strict";Object.assign(require("./${start}").parts,{${functions}});\nmodule.exports=require("./${start}")("./${name}");\n`;
  const away = Object.entries(home).filter(([part, pack]) => pack !== name && part !== pack);
  const places = JSON.stringify(Object.fromEntries(away.map(([part, pack]) => [`./${part}`, `./${pack}`])));
  return `"use strict";var parts={${functions}},places=${places},made={};
function load(path){
if(made[path])return made[path].exports;
if(!parts[path]&&places[path])require(places[path]);
if(!parts[path])return require(path);
var module=made[path]={exports:{}};
parts[path](module,module.exports,load);
return module.exports;
}
load.parts=parts;
module.exports=load;
load("./${name}");
`;
}

const bare = (code) => code.replace(/^"use strict";/, '').trimEnd();
