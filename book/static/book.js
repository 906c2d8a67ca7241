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
