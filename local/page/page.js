"use strict";

// Redraws <main> by what the server tells, node by node: what did not change stays the very same node, so that
// scroll positions, focus, selected text, open details and half-written reasons survive.
const main = document.querySelector("main[data-events]");
if (main) {
  follow(main);
}

function follow(main) {
  const told = document.getElementById("connection");
  const events = new EventSource(main.dataset.events);
  events.onopen = () => say(told, "");
  events.onmessage = (event) => {
    const drawing = JSON.parse(event.data);
    const fresh = document.createElement("template");
    fresh.innerHTML = drawing.body;
    const atTheEnd = logs(main).filter(isAtTheEnd);
    update(main, fresh.content);
    document.title = drawing.title;
    atTheEnd.forEach(toTheEnd);
  };
  events.addEventListener("end", () => events.close());
  events.onerror = () => {
    const isGone = events.readyState === EventSource.CLOSED;
    say(told, isGone ? "Local AWS has no more news of this. Load the page again."
      : "Local AWS does not answer. This page goes on by itself when it does.");
  };
  // A log that is opened shows its end, as `tail` would; the event does not bubble.
  main.addEventListener("toggle", (event) => logs(event.target).forEach(toTheEnd), true);
  logs(main).forEach(toTheEnd);
}

function say(element, sentence) {
  if (element.textContent !== sentence) {
    element.textContent = sentence;
  }
}

function logs(element) {
  return [...element.querySelectorAll("pre.log")];
}

function isAtTheEnd(log) {
  return log.scrollHeight - log.scrollTop - log.clientHeight < 8;
}

function toTheEnd(log) {
  log.scrollTop = log.scrollHeight;
}

// Makes the children of `old` like those of `fresh`. One with an id is the one of that id; others go by place.
function update(old, fresh) {
  const named = new Map([...old.children].filter((each) => each.id).map((each) => [each.id, each]));
  let next = old.firstChild;
  for (const wanted of [...fresh.childNodes]) {
    const found = wanted.id ? named.get(wanted.id) : next;
    named.delete(wanted.id);
    if (found?.parentNode !== old || found.nodeName !== wanted.nodeName || (found.id || "") !== (wanted.id || "")) {
      old.insertBefore(wanted, next);
      continue;
    }
    while (next !== found) {
      next = removed(next);
    }
    next = found.nextSibling;
    if (!found.isEqualNode(wanted)) {
      updateNode(found, wanted);
    }
  }
  while (next) {
    next = removed(next);
  }
}

function removed(node) {
  const next = node.nextSibling;
  node.remove();
  return next;
}

function updateNode(old, fresh) {
  if (old.nodeType !== Node.ELEMENT_NODE) {
    old.data = fresh.data;
    return;
  }
  for (const { name } of [...old.attributes]) {
    if (name !== "open" && !fresh.hasAttribute(name)) {
      old.removeAttribute(name);
    }
  }
  for (const { name, value } of fresh.attributes) {
    if (name !== "open" && old.getAttribute(name) !== value) {
      old.setAttribute(name, value);
    }
  }
  update(old, fresh);
}
