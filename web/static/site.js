// Copies what a button stands beside, moves to the search box at "/", and counts ticked rows.
"use strict";

async function copy(text) {
    if (navigator.clipboard) {
        return navigator.clipboard.writeText(text);
    }
    // Only pages from https have a clipboard.
    const area = document.createElement("textarea");
    area.value = text;
    area.className = "unseen";
    document.body.append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
}

function say(button) {
    document.getElementById("said").textContent = "Copied";
    button.classList.add("done");
    const label = button.textContent;
    if (label) {
        button.textContent = "Copied";
    }
    setTimeout(() => {
        button.classList.remove("done");
        button.textContent = label;
        document.getElementById("said").textContent = "";
    }, 1500);
}

document.addEventListener("click", async (event) => {
    const button = event.target.closest("[data-copy]");
    if (button && !button.classList.contains("done")) {
        await copy(button.dataset.copy);
        say(button);
    }
});

document.addEventListener("keydown", (event) => {
    const typing = event.target.closest("input, select, textarea, [contenteditable]");
    if (event.key === "/" && !typing && !event.ctrlKey && !event.metaKey && !event.altKey) {
        event.preventDefault();
        const box = document.getElementById("find");
        box.focus();
        box.select();
    }
});

const compare = document.getElementById("compare");
if (compare) {
    const count = () => {
        const ticked = document.querySelectorAll('input[form="compare"]:checked').length;
        compare.querySelector("button").disabled = ticked !== 2;
    };
    document.addEventListener("change", count);
    // A browser that goes back to the page ticks again what was ticked.
    window.addEventListener("pageshow", count);
    count();
}
