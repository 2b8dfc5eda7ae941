"use strict";
const at = (id) => document.getElementById(id);
const MOST = 64;
const RARE = 0.02; // share of images like the training images, at or below which a person is warned

function say(text, bad = false) {
  at("status").textContent = text;
  at("status").classList.toggle("error", bad);
}

function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

// As in the report: what would round to 0 or 100 % without being it has up to two digits more.
function percent(share) {
  const shown = [1, 2, 3].map((digits) => (100 * share).toFixed(digits));
  const exact = share === 0 || share === 1 ? undefined : shown.find((text) => Number(text) > 0 && Number(text) < 100);
  return `${exact ?? shown[0]} %`;
}

async function describe() {
  try {
    const model = await (await fetch("/model")).json();
    const score = model.test ? ` Accuracy on held-out images: ${percent(model.test.accuracy)} of ${model.test.n}.` : "";
    const shown = model.classes.slice(0, 8).join(", ") + (model.classes.length > 8 ? " and others" : "");
    at("about").textContent = `Distinguishes ${model.classes.length} classes: ${shown}.${score}`;
    at("report").hidden = !model.report;
  } catch {
    at("about").textContent = "The server does not answer.";
  }
}

function bars(top) {
  const list = element("dl", { class: "bars" });
  for (const { class: name, probability } of top) {
    const fill = element("i");
    fill.style.width = `${100 * probability}%`;
    list.append(
      element("dt", {}, name),
      element("dd", { "aria-hidden": "true" }, element("div", { class: "bar" }, fill)),
      element("dd", { class: "number" }, percent(probability)),
    );
  }
  return list;
}

function unlikeNote(share) {
  if (share === undefined || share > RARE) return "";
  return `Unlike the training images: only ${percent(share)} of images like those differ from them as much. The class is a guess.`;
}

function show(file, answer) {
  const picture = element("img", { alt: `Your image ${file.name}` });
  picture.src = URL.createObjectURL(file);
  picture.onload = picture.onerror = () => URL.revokeObjectURL(picture.src);
  const title = element("h2", {}, answer.error ? file.name : `${answer.label}`);
  const name = element("p", { class: "name" }, answer.error ? "" : file.name);
  const detail = answer.error ? element("p", { class: "error" }, answer.error) : bars(answer.top);
  const warning = unlikeNote(answer.unlike);
  const notes = warning ? [element("p", { class: "unlike" }, warning)] : [];
  at("results").prepend(element("li", {}, picture, element("div", {}, title, name, ...notes, detail)));
  at("clear").hidden = false;
}

async function ask(file) {
  const form = new FormData();
  form.append("image", file, file.name);
  try {
    const response = await fetch("/predict?top=5", { method: "POST", body: form });
    const answer = await response.json();
    return response.ok ? answer.predictions[0] : { error: answer.error || `The server answered ${response.status}.` };
  } catch {
    return { error: "The server does not answer. Is it still running?" };
  }
}

async function classify(files) {
  const chosen = [...files].slice(0, MOST);
  if (!chosen.length) return;
  const rest = files.length - chosen.length;
  const left = rest ? ` ${rest} more ${rest > 1 ? "were" : "was"} left out: at most ${MOST} are taken at once.` : "";
  let done = 0;
  say(`Classifying ${chosen.length} image${chosen.length > 1 ? "s" : ""}…`);
  const results = await Promise.all(chosen.map(async (file) => {
    const answer = await ask(file);
    say(`Classified ${++done} of ${chosen.length}.`);
    return answer;
  }));
  chosen.forEach((file, n) => show(file, results[n]));
  const failed = results.filter((answer) => answer.error).length;
  const ended = failed ? `${failed} of ${chosen.length} could not be classified.` : `Done: ${chosen.length} classified.`;
  say(ended + left, failed > 0 || rest > 0);
}

let stream = null;
async function openCamera() {
  try {
    stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment" } });
    at("video").srcObject = stream;
    await at("video").play();
    at("viewfinder").hidden = false;
    at("shoot").focus();
  } catch (error) {
    say(`The camera cannot be used: ${error.message}`, true);
  }
}

function closeCamera() {
  if (stream) stream.getTracks().forEach((track) => track.stop());
  stream = null;
  at("viewfinder").hidden = true;
}

function shoot() {
  const video = at("video");
  const canvas = element("canvas", { width: video.videoWidth, height: video.videoHeight });
  canvas.getContext("2d").drawImage(video, 0, 0);
  canvas.toBlob((blob) => classify([new File([blob], "camera.jpg", { type: "image/jpeg" })]), "image/jpeg", 0.92);
}

for (const id of ["files", "capture"]) {
  at(id).addEventListener("change", (event) => { classify(event.target.files); event.target.value = ""; });
}
for (const [name, over] of [["dragover", true], ["dragenter", true], ["dragleave", false], ["drop", false]]) {
  document.addEventListener(name, (event) => { event.preventDefault(); at("drop").classList.toggle("over", over); });
}
document.addEventListener("drop", (event) => classify(event.dataTransfer.files));
document.addEventListener("paste", (event) => classify(event.clipboardData.files));
at("clear").addEventListener("click", () => { at("results").replaceChildren(); at("clear").hidden = true; say(""); });
at("camera").hidden = !(navigator.mediaDevices && navigator.mediaDevices.getUserMedia);
at("phone").hidden = !at("camera").hidden;
at("camera").addEventListener("click", openCamera);
at("close").addEventListener("click", closeCamera);
at("shoot").addEventListener("click", shoot);
describe();
