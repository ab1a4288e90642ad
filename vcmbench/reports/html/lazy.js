// On a large page, what is far from the window is drawn when it comes near, so that the page answers at once.

const MARGIN = "400px";

const isLarge = document.body.classList.contains("large");

const waiting = new Map(); // node → how to draw it

const observer = new IntersectionObserver((entries) => {
  for (const { target, isIntersecting } of entries) if (isIntersecting) drawWaiting(target);
}, { rootMargin: MARGIN });

function drawWhenNear(node, draw) {
  if (!isLarge) {
    draw();
    return;
  }
  waiting.set(node, draw);
  observer.unobserve(node);
  observer.observe(node); // tells at once whether it is near
}

function drawWaiting(node) {
  const draw = waiting.get(node);
  observer.unobserve(node);
  waiting.delete(node);
  draw?.();
}

addEventListener("beforeprint", () => [...waiting.keys()].forEach(drawWaiting));
