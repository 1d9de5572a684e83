// A part is JSON in the page, or a script beside it that hands its JSON to medrival.take.
const inPage = (name) => document.getElementById(`part-${name}`);
const INDEX = inPage("index") && JSON.parse(inPage("index").textContent);
const asked = new Map(); // name -> promise of its content
const takers = new Map(); // name -> what takes the content from its script

globalThis.medrival = {
  take: (stamp, name, content) => takers.get(name)?.(stamp, content),
};

function part(name, folder = "samples") {
  if (!asked.has(name)) asked.set(name, inPage(name) ? Promise.resolve(JSON.parse(inPage(name).textContent)) : beside(name, folder));
  return asked.get(name);
}

function beside(name, folder) {
  const file = `${folder}/part-${name}.js`;
  return new Promise((resolve, reject) => {
    const script = document.createElement("script");
    takers.set(name, (stamp, content) => {
      if (stamp === INDEX.stamp) resolve(content);
      else reject(new Error(`${file} is of another report than this page`));
    });
    script.onload = () => reject(new Error(`${file} is damaged`)); // says nothing where the content was taken
    script.onerror = () => reject(new Error(`${file} is not beside this page`));
    script.src = file;
    document.head.append(script);
  });
}
