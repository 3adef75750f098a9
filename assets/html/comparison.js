const { reference } = document.body.dataset;
const rows = [...document.querySelectorAll('tbody tr')];
const names = [...document.querySelectorAll('thead th[scope="col"]')].map((cell) => cell.firstChild.data);
const viewer = document.getElementById('viewer');
const [left, right, slider] = ['left', 'right', 'slider'].map((id) => document.getElementById(id));
const [leftColumn, rightColumn] = ['left-column', 'right-column'].map((id) => document.getElementById(id));
const stage = viewer.querySelector('.stage');
let shown = rows[0];

// Thumbnails are decoded when they come near the window.
const observer = new IntersectionObserver(
  (entries) => {
    for (const { isIntersecting, target } of entries) {
      if (!isIntersecting) continue;
      target.src = target.dataset.thumbnail;
      observer.unobserve(target);
    }
  },
  { rootMargin: '500px' },
);
for (const image of document.querySelectorAll('img[data-thumbnail]')) observer.observe(image);

const summaries = JSON.parse(document.getElementById('summaries').textContent);
for (const span of document.querySelectorAll('[data-summary]')) {
  span.textContent = summaries[span.dataset.summary];
}

for (const select of [leftColumn, rightColumn]) {
  select.append(...names.map((name, index) => new Option(name, index)));
  select.addEventListener('change', show);
}

function pictureOf(row, column) {
  return row.cells[Number(column) + 1].querySelector('button')?.dataset.picture;
}

function show() {
  const { firstChild: title } = shown.cells[0];
  viewer.querySelector('b').textContent = title.textContent;
  for (const [image, select] of [
    [left, leftColumn],
    [right, rightColumn],
  ]) {
    const picture = pictureOf(shown, select.value);
    image.hidden = picture === undefined;
    if (picture !== undefined) image.src = picture;
  }
  const { width, height } = shown.querySelector('img').attributes;
  stage.style.setProperty('--ratio', width.value / height.value);
  viewer.querySelector('footer span').textContent = psnrOfShown();
  slide();
}

/** Of the two columns the one that is compared with the other; nothing where neither is the reference. */
function psnrOfShown() {
  const columns = [leftColumn.value, rightColumn.value];
  if (!columns.includes(reference)) return '';
  const compared = columns.find((column) => column !== reference) ?? reference;
  return shown.cells[Number(compared) + 1].querySelector('p')?.textContent ?? '';
}

/** The right picture covers what is to the right of the slider. */
function slide() {
  right.style.clipPath = `inset(0 0 0 ${slider.value}%)`;
}

document.querySelector('tbody').addEventListener('click', (event) => {
  const cell = event.target.closest('button')?.closest('td');
  if (!cell) return;
  shown = cell.parentElement;
  const clicked = cell.cellIndex - 1;
  const other = names.findIndex(
    (_, index) => String(index) !== reference && pictureOf(shown, index) !== undefined,
  );
  leftColumn.value = reference;
  rightColumn.value = String(clicked) === reference && other >= 0 ? other : clicked;
  viewer.showModal();
  show();
});

slider.addEventListener('input', slide);
viewer.querySelector('header button').addEventListener('click', () => viewer.close());
stage.addEventListener('pointerdown', (event) => {
  stage.setPointerCapture(event.pointerId);
  follow(event);
});
stage.addEventListener('pointermove', (event) => {
  if (event.buttons > 0) follow(event);
});

function follow(event) {
  const { left: start, width } = stage.getBoundingClientRect();
  slider.value = (100 * (event.clientX - start)) / width;
  slide();
}

viewer.addEventListener('keydown', (event) => {
  if (event.target instanceof HTMLSelectElement) return;
  const step = { ArrowUp: -1, ArrowDown: 1 }[event.key];
  if (event.key === ' ') slider.value = slider.value > 50 ? 0 : 100;
  else if (step !== undefined) shown = rows[rows.indexOf(shown) + step] ?? shown;
  else return;
  event.preventDefault();
  show();
});
