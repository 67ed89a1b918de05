// Suggestions below a search box while one types, as a combobox with a list (WAI-ARIA practices).
// Without this the box is a plain form.
"use strict";

{
    const { url } = document.currentScript.dataset;
    const PAUSE = 60;
    const known = new Map();
    let boxes = 0;

    const asked = async (text, signal) => {
        if (!known.has(text)) {
            const response = await fetch(`${url}?q=${encodeURIComponent(text)}`, { signal });
            known.set(text, response.ok ? (await response.json()).suggestions : []);
        }
        return known.get(text);
    };

    const option = (suggestion, id) => {
        const item = document.createElement("li");
        const kind = document.createElement("span");
        item.id = id;
        item.setAttribute("role", "option");
        item.setAttribute("aria-selected", "false");
        kind.className = "of-kind";
        kind.textContent = suggestion.kind;
        item.append(suggestion.text, kind);
        return item;
    };

    const attach = (input) => {
        boxes += 1;
        const list = document.createElement("ul");
        let found = [];
        let chosen = -1;
        let timer = 0;
        let asking = new AbortController();
        list.id = `suggestions-${boxes}`;
        list.className = "suggestions";
        list.hidden = true;
        list.setAttribute("role", "listbox");
        list.setAttribute("aria-label", "Suggestions");
        input.after(list);
        for (const [name, value] of Object.entries({
            role: "combobox",
            autocomplete: "off",
            "aria-autocomplete": "list",
            "aria-controls": list.id,
            "aria-expanded": "false",
        })) {
            input.setAttribute(name, value);
        }

        const choose = (place) => {
            list.children[chosen]?.setAttribute("aria-selected", "false");
            chosen = place;
            const item = list.children[place];
            item?.setAttribute("aria-selected", "true");
            item?.scrollIntoView({ block: "nearest" });
            if (item) {
                input.setAttribute("aria-activedescendant", item.id);
            } else {
                input.removeAttribute("aria-activedescendant");
            }
        };

        const close = () => {
            clearTimeout(timer);
            asking.abort();
            list.hidden = true;
            input.setAttribute("aria-expanded", "false");
            choose(-1);
        };

        const show = (suggestions) => {
            found = suggestions;
            chosen = -1;
            input.removeAttribute("aria-activedescendant");
            list.replaceChildren(...found.map((each, i) => option(each, `${list.id}-${i}`)));
            list.hidden = !found.length;
            input.setAttribute("aria-expanded", String(found.length > 0));
            Object.assign(list.style, {
                left: `${input.offsetLeft}px`,
                top: `${input.offsetTop + input.offsetHeight}px`,
                minWidth: `${input.offsetWidth}px`,
            });
        };

        const ask = async () => {
            asking.abort();
            asking = new AbortController();
            const { signal } = asking;
            const text = input.value;
            try {
                const suggestions = text.trim() ? await asked(text, signal) : [];
                if (!signal.aborted && input.value === text) {
                    show(suggestions.filter((each) => each.text !== text));
                }
            } catch {
                // Gone or slow: the form works without.
            }
        };

        const take = (place) => {
            const typed = input.value;
            input.value = found[place].text;
            close();
            // What stands alone is all that is searched for; a part of more is gone on with.
            if (!/\S\s/.test(typed.trimStart())) {
                input.form.requestSubmit();
            } else {
                input.focus();
            }
        };

        input.addEventListener("input", () => {
            clearTimeout(timer);
            timer = setTimeout(ask, PAUSE);
        });
        input.addEventListener("keydown", (event) => {
            const isOpen = !list.hidden;
            const last = found.length - 1;
            if (event.isComposing) {
                return;
            }
            if (event.key === "ArrowDown" && !isOpen) {
                ask();
            } else if (event.key === "ArrowDown") {
                choose(chosen < last ? chosen + 1 : 0);
            } else if (event.key === "ArrowUp" && isOpen) {
                choose(chosen > 0 ? chosen - 1 : last);
            } else if (event.key === "Enter" && isOpen && chosen >= 0) {
                take(chosen);
            } else if (event.key === "Escape" && isOpen) {
                close();
            } else {
                return;
            }
            event.preventDefault();
        });
        input.addEventListener("blur", close);
        input.form.addEventListener("submit", close);
        // The box keeps the focus while one clicks.
        list.addEventListener("pointerdown", (event) => event.preventDefault());
        list.addEventListener("click", (event) => {
            const item = event.target.closest("[role=option]");
            if (item) {
                take([...list.children].indexOf(item));
            }
        });
    };

    const ofSpecs = 'form.filters[action$="/specs"] input[name="_search"]';
    document.querySelectorAll(`form input[type="search"][name="q"], ${ofSpecs}`).forEach(attach);
}
