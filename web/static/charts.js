// Bars that lead to the list of what they count, and the same as links for who has no pointer;
// loaded where charts are drawn.
"use strict";

(() => {
    const { base, release } = document.currentScript.dataset;
    const inRelease = ["releases__arraycontains", release];
    const list = (field) => (value) => ["specs", [[field, value], inRelease]];
    const lists = {
        os: list("os"),
        target: list("target"),
        compiler: list("compiler"),
        package: list("package"),
        stack: (value) => ["stack_holes", [["stack", value], ["release", release]]],
    };
    const draw = window.vegaEmbed;

    function address(field, row) {
        const [path, filters] = lists[field](row[field]);
        return `${base}/${path}?${new URLSearchParams(filters)}`;
    }

    function links(x, y, rows) {
        const items = document.createElement("ol");
        for (const row of rows) {
            const link = document.createElement("a");
            link.href = address(y, row);
            link.textContent = row[y];
            const item = document.createElement("li");
            item.append(link, ` ${row[x].toLocaleString("en")}`);
            items.append(item);
        }
        return items;
    }

    window.vegaEmbed = async (element, spec) => {
        const [x, y] = [spec.encoding.x.field, spec.encoding.y.field];
        const drawn = await draw(element, spec);
        if (lists[y]) {
            drawn.view.addEventListener("click", (_, bar) => {
                if (bar?.datum?.[y] !== undefined) {
                    location.assign(address(y, bar.datum));
                }
            });
            element.closest("figure").querySelector(".linked").append(links(x, y, spec.data.values));
        }
        return drawn;
    };
})();
