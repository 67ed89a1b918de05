// My system: an operating system, a CPU and a release, which the browser remembers. It is shown in the
// header, and in the address wherever it acts: in searches, in links to packages and in the list of
// specs. A link that says something itself is left as it is.
"use strict";

{
    const NAMES = ["os", "machine", "release"];
    const FILTERS = { os: "os", machine: "_runs_on", release: "releases__arraycontains" };
    const LONGEST = 100;
    const PAUSE = 120;
    const { systems, home, database } = document.currentScript.dataset;
    const shown = document.querySelector(".system-shown");
    const changed = new Map();

    const remembered = () => {
        try {
            const kept = JSON.parse(localStorage.getItem("system")) || {};
            const pairs = NAMES.map((name) => [name, kept[name]]);
            const good = ([, value]) => typeof value === "string" && value && value.length <= LONGEST;
            const system = Object.fromEntries(pairs.filter(good));
            return system.os || system.machine ? system : null;
        } catch {
            return null;
        }
    };

    const keep = (system) => {
        try {
            if (system) {
                localStorage.setItem("system", JSON.stringify(system));
            } else {
                localStorage.removeItem("system");
            }
        } catch {
            // A browser that keeps nothing can still be asked.
        }
    };

    const link = (text, href, label) => {
        const made = document.createElement("a");
        made.textContent = text;
        made.href = href;
        if (label) {
            made.setAttribute("aria-label", label);
        }
        return made;
    };

    const show = (system) => {
        document.documentElement.classList.toggle("has-system", Boolean(system));
        if (!shown || !system) {
            shown?.replaceChildren();
            return;
        }
        const name = NAMES.map((part) => system[part]).filter(Boolean).join(" · ");
        const remove = document.createElement("button");
        remove.type = "button";
        remove.className = "forget";
        remove.textContent = "✖";
        remove.setAttribute("aria-label", "Forget my system");
        remove.addEventListener("click", () => {
            keep(null);
            act();
            document.getElementById("said").textContent = "Your system is forgotten";
            document.getElementById("content").focus();
        });
        shown.replaceChildren(
            link(name, `${systems}?${new URLSearchParams(system)}`),
            link("change", `${home}#my-system`, "Change my system"),
            remove,
        );
    };

    const search = (system) => {
        for (const form of document.querySelectorAll('form[action$="/-/find"]')) {
            form.querySelectorAll("[data-of-system]").forEach((input) => input.remove());
            for (const [name, value] of Object.entries(system || {})) {
                if (form.elements[name]) {
                    continue;
                }
                const input = document.createElement("input");
                Object.assign(input, { type: "hidden", name, value });
                input.dataset.ofSystem = "";
                form.append(input);
            }
        }
    };

    const follow = (system) => {
        changed.forEach((href, each) => each.setAttribute("href", href));
        changed.clear();
        if (!system) {
            return;
        }
        const packages = new URLSearchParams(system);
        const specs = new URLSearchParams(
            Object.entries(system).map(([name, value]) => [FILTERS[name], value]),
        );
        for (const each of document.querySelectorAll(`a[href^="${database}/"]`)) {
            const href = each.getAttribute("href");
            const below = href.slice(database.length);
            const added = /^\/packages\/[^/?#.]+$/.test(below) ? packages
                : below === "/specs" && each.closest("header") ? specs : null;
            if (added) {
                changed.set(each, href);
                each.setAttribute("href", `${href}?${added}`);
            }
        }
    };

    const act = () => {
        const system = remembered();
        show(system);
        search(system);
        follow(system);
    };

    const chosen = (form) => {
        const pairs = NAMES.map((name) => [name, form.elements[name].value]);
        return Object.fromEntries(pairs.filter(([, value]) => value));
    };

    const count = async (form) => {
        const place = form.querySelector(".my-system-count");
        const system = chosen(form);
        if (!place || !(system.os || system.machine)) {
            return;
        }
        const asked = new URLSearchParams(system).toString();
        const response = await fetch(`${form.dataset.mySystem}?${asked}`).catch(() => null);
        // Meanwhile another may be chosen.
        if (response?.ok && new URLSearchParams(chosen(form)).toString() === asked) {
            const found = await response.json();
            const number = document.createElement("strong");
            number.textContent = found.num_have.toLocaleString("en");
            place.replaceChildren(
                number,
                ` of ${found.num_packages.toLocaleString("en")} packages have a binary that runs there. `,
                link("See them", `${systems}?${asked}`),
            );
        }
    };

    const fill = (form) => {
        const system = remembered();
        if (!system || "isChosen" in form.dataset) {
            return;
        }
        for (const name of NAMES) {
            const { options } = form.elements[name];
            const known = [...options].find((option) => option.value === system[name]);
            if (known) {
                known.selected = true;
            }
        }
    };

    for (const form of document.querySelectorAll("[data-my-system]")) {
        fill(form);
        count(form);
        form.addEventListener("change", () => count(form));
        form.addEventListener("submit", () => {
            const system = chosen(form);
            keep(system.os || system.machine ? system : null);
        });
    }

    // The lists of a system's page, as one types: what the server finds for these words.
    const filter = document.querySelector("form[data-lists]");
    if (filter) {
        let timer = 0;
        let asking = new AbortController();
        const find = async () => {
            asking.abort();
            asking = new AbortController();
            const pairs = [...new FormData(filter)].filter(([, value]) => value);
            const address = `${filter.getAttribute("action")}?${new URLSearchParams(pairs)}`;
            const response = await fetch(address, { signal: asking.signal }).catch(() => null);
            const text = response?.ok ? await response.text().catch(() => null) : null;
            const found = text && new DOMParser().parseFromString(text, "text/html");
            const lists = found?.getElementById(filter.dataset.lists);
            if (lists) {
                document.getElementById(filter.dataset.lists).replaceWith(lists);
                history.replaceState(null, "", address);
            }
        };
        filter.addEventListener("input", () => {
            clearTimeout(timer);
            timer = setTimeout(find, PAUSE);
        });
    }

    // Elsewhere, or before one came back to this page, another may have been chosen.
    window.addEventListener("storage", act);
    window.addEventListener("pageshow", act);
    act();
}
