for (const b of document.querySelectorAll("button")) b.hidden = false;
for (const b of document.querySelectorAll("[data-copy]")) b.onclick = () => navigator.clipboard.writeText(b.parentNode.querySelector("code").textContent);
for (const b of document.querySelectorAll("[data-svg]")) b.onclick = () => Object.assign(document.createElement("a"), {download: b.dataset.svg, href: URL.createObjectURL(new Blob([new XMLSerializer().serializeToString(b.closest("figure").querySelector("svg"))], {type: "image/svg+xml"}))}).click();
