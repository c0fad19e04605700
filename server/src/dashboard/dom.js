// Describes elements as values and makes the page agree with them in place: an element that stays is the same node, so it
// keeps focus, selection and scroll position. Text becomes text nodes, never markup.

const SVG = "http://www.w3.org/2000/svg";
/** What was last applied to a node: `{ key, props }`. */
const applied = new WeakMap();

/**
 * Describes an element. `props`: attributes by name (`null`, `undefined` and `false` leave one out), listeners as
 * `onclick`, `css` for single style properties, `value` of a form field, and `key` for one of several siblings that change
 * places.
 */
export function h(tag, props, ...children) {
  return { tag, props: props ?? {}, children: flat(children) };
}

function flat(children) {
  return children
    .flat(Infinity)
    .filter((child) => child !== null && child !== undefined && child !== false && child !== "");
}

/** Makes the children of `parent` agree with `children`. */
export function patch(parent, ...children) {
  patchList(parent, flat(children), parent.namespaceURI === SVG);
}

function patchList(parent, children, insideSvg) {
  const keyed = new Map();
  const wanted = new Set(children.map((child) => child.props?.key).filter((key) => key !== undefined));
  for (const node of [...parent.childNodes]) {
    const key = applied.get(node)?.key;
    if (key === undefined) continue;
    // What goes leaves first: then what stays need not move.
    if (wanted.has(key)) keyed.set(key, node);
    else node.remove();
  }
  let next = parent.firstChild;
  for (const child of children) {
    const found = find(next, keyed, child);
    const node = found ?? create(child, insideSvg);
    if (node === next) next = next.nextSibling;
    else parent.insertBefore(node, next);
    if (typeof child === "object") update(node, child, insideSvg);
    else if (node.data !== String(child)) node.data = String(child);
  }
  while (next) {
    const gone = next;
    next = next.nextSibling;
    gone.remove();
  }
}

function find(next, keyed, child) {
  if (typeof child !== "object") return next?.nodeType === Node.TEXT_NODE ? next : undefined;
  if (child.props.key !== undefined) return keyed.get(child.props.key);
  const isSame = next?.localName === child.tag && applied.get(next)?.key === undefined;
  return isSame ? next : undefined;
}

function create(child, insideSvg) {
  if (typeof child !== "object") return document.createTextNode("");
  const isSvg = insideSvg || child.tag === "svg";
  const node = isSvg ? document.createElementNS(SVG, child.tag) : document.createElement(child.tag);
  applied.set(node, { key: child.props.key, props: {} });
  return node;
}

function update(node, { tag, props, children }, insideSvg) {
  const before = applied.get(node)?.props ?? {};
  for (const name of Object.keys(before)) if (!(name in props)) set(node, name, undefined, before[name]);
  for (const [name, value] of Object.entries(props)) set(node, name, value, before[name]);
  applied.set(node, { key: props.key, props });
  patchList(node, children, insideSvg || tag === "svg");
}

function set(node, name, value, before) {
  if (name === "key" || value === before) return;
  if (name.startsWith("on")) node[name] = value ?? null;
  else if (name === "css") Object.assign(node.style, value);
  else if (name === "value") node.value = value;
  else if (value === undefined || value === null || value === false) node.removeAttribute(name);
  else node.setAttribute(name, value === true ? "" : value);
}
