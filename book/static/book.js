// Renders the equations, whose TeX stands in elements of class "math", and lets the keyboard scroll what is wider than the page.
for (const element of document.querySelectorAll(".math")) {
  katex.render(element.textContent, element, { displayMode: element.tagName === "DIV", throwOnError: false });
}

const wide = "div.math, .highlight pre, .pst-scrollable-table-container, .cell_output .output";
const reach = () => {
  for (const element of document.querySelectorAll(wide)) {
    if (element.scrollWidth > element.clientWidth) element.tabIndex = 0;
    else element.removeAttribute("tabindex");
  }
};
addEventListener("load", reach);
addEventListener("resize", reach);

// The toggles of the navigation have no words of their own.
for (const toggle of document.querySelectorAll(".bd-sidebar-primary li > details > summary")) {
  toggle.setAttribute("aria-label", `Pages of ${toggle.closest("li").querySelector("a").textContent.trim()}`);
}

// Paper is white: a dark page is printed in the light theme.
const root = document.documentElement;
let shown;
addEventListener("beforeprint", () => {
  shown = root.dataset.theme;
  root.dataset.theme = "light";
});
addEventListener("afterprint", () => {
  if (shown) root.dataset.theme = shown;
});

// A page's buttons are no part of what the search shows of it.
if (globalThis.Search?.htmlToText) {
  const toText = Search.htmlToText;
  Search.htmlToText = (html, anchor) => {
    const page = new DOMParser().parseFromString(html, "text/html");
    for (const bar of page.querySelectorAll(".bd-header-article")) bar.remove();
    return toText(page.documentElement.outerHTML, anchor);
  };
}
