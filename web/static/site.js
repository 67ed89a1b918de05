// Copies what a button stands beside, moves to the search box at "/", loads what is unfolded, and
// counts ticked rows.
"use strict";

async function copy(text) {
    try {
        await navigator.clipboard.writeText(text);
        return;
    } catch {
        // Only pages from https have a clipboard, and a person can refuse it.
    }
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

// The toggling of one element is told to itself alone, unless it is listened to on its way there.
document.addEventListener("toggle", async (event) => {
    const { load } = event.target.dataset;
    if (!load || !event.target.open) {
        return;
    }
    delete event.target.dataset.load;
    const response = await fetch(load).catch(() => null);
    if (!response || !response.ok) {
        // What is there leads to a page of its own; another try is another click.
        event.target.dataset.load = load;
        return;
    }
    const summary = event.target.firstElementChild;
    const template = document.createElement("template");
    template.innerHTML = await response.text();
    event.target.replaceChildren(summary, template.content);
}, true);

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
