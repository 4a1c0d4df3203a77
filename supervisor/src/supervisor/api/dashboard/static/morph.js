// Makes one tree of nodes like another and touches only what differs: focus, open details and charts survive.
//
// Children with data-key are matched by it, all others by their place. What is below data-keep is the page's own.
export function morph(now, wanted) {
  if (now.nodeType !== wanted.nodeType || now.nodeName !== wanted.nodeName) {
    now.replaceWith(wanted.cloneNode(true));
    return;
  }
  if (now.nodeType !== Node.ELEMENT_NODE) {
    if (now.nodeValue !== wanted.nodeValue) now.nodeValue = wanted.nodeValue;
    return;
  }
  if ("keep" in now.dataset) return;
  attributes(now, wanted);
  if (now.nodeName === "TIME" && now.dateTime === wanted.dateTime && now.hasChildNodes()) return;
  children(now, wanted);
}

function attributes(now, wanted) {
  for (const { name, value } of [...wanted.attributes]) if (now.getAttribute(name) !== value) now.setAttribute(name, value);
  for (const { name } of [...now.attributes]) {
    const isReaders = (name === "open" && now.nodeName === "DETAILS") || (name === "title" && now.nodeName === "TIME");
    if (!wanted.hasAttribute(name) && !isReaders) now.removeAttribute(name);
  }
}

function keyOf(node) {
  return node.nodeType === Node.ELEMENT_NODE ? node.dataset.key : undefined;
}

function children(now, wanted) {
  const keyed = new Map([...now.children].filter(keyOf).map((child) => [keyOf(child), child]));
  const kept = new Set([...wanted.children].map(keyOf).filter((key) => keyed.has(key)));
  let at = now.firstChild;
  for (const next of [...wanted.childNodes]) {
    while (at && keyOf(at) && !kept.has(keyOf(at))) at = removed(at);
    const key = keyOf(next);
    if (key && keyed.has(key)) {
      const match = keyed.get(key);
      if (match === at) at = at.nextSibling;
      else now.insertBefore(match, at);
      morph(match, next);
    } else if (at && !keyOf(at) && !key) {
      const old = at;
      at = at.nextSibling;
      morph(old, next);
    } else {
      now.insertBefore(next.cloneNode(true), at);
    }
  }
  while (at) at = removed(at);
}

function removed(node) {
  const next = node.nextSibling;
  node.remove();
  return next;
}
