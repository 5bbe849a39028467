// Sorting, searching and paging of tables, and the download of the numbers behind the page.
"use strict";
{
  const PER_PAGE = 50;
  const PRINTED = 1000;

  // A table whose rows are in the page as HTML: a row is sorted by its cells.
  class Written {
    constructor(table) {
      this.body = table.tBodies[0];
      this.rows = [...this.body.rows];
    }
    key(row, column) { return row.cells[column].dataset.value ?? row.cells[column].textContent.trim(); }
    name(row) { return row.cells[0].textContent; }
    show(rows) {
      const kept = new Set(rows);
      for (const row of this.rows) row.hidden = !kept.has(row);
      this.body.append(...rows);
    }
  }
  // A table whose rows are data, [sorted by, text, below, remark] each cell: only a page of them is made.
  class Stored {
    constructor(table) {
      this.body = table.tBodies[0];
      this.rows = JSON.parse(document.getElementById(table.dataset.rows).textContent);
      this.foot = document.getElementById(table.dataset.foot);
      this.page = 0;
      for (const button of this.foot.querySelectorAll("button")) {
        button.addEventListener("click", () => { this.page += Number(button.dataset.turn); this.render(PER_PAGE); });
      }
      addEventListener("beforeprint", () => { this.page = 0; this.render(PRINTED); });
      addEventListener("afterprint", () => this.render(PER_PAGE));
      this.show(this.rows);
    }
    key(row, column) { return row[column][0]; }
    name(row) { return row[0][1]; }
    show(rows) {
      this.shown = rows;
      this.page = 0;
      this.render(PER_PAGE);
    }
    render(size) {
      const pages = Math.max(1, Math.ceil(this.shown.length / size));
      this.page = Math.min(Math.max(this.page, 0), pages - 1);
      const some = this.shown.slice(this.page * size, (this.page + 1) * size);
      this.body.replaceChildren(...some.map((cells) => {
        const row = document.createElement("tr");
        for (const [, text, below, remark] of cells) {
          const cell = row.insertCell();
          cell.textContent = text;
          if (below) cell.append(Object.assign(document.createElement("small"), { textContent: below }));
          if (remark) cell.title = remark;
        }
        return row;
      }));
      const first = this.shown.length ? this.page * size + 1 : 0;
      this.foot.hidden = this.rows.length <= PER_PAGE;
      this.foot.querySelector("span").textContent = `${first}\u2013${first + some.length - (first ? 1 : 0)} / ${this.shown.length}`;
      const [back, on] = this.foot.querySelectorAll("button");
      [back.disabled, on.disabled] = [this.page === 0, this.page === pages - 1];
    }
  }

  const tables = new Map();
  for (const table of document.querySelectorAll("table.sortable")) {
    const held = table.dataset.rows ? new Stored(table) : new Written(table);
    tables.set(table.id, held);
    held.order = held.rows;
    const heads = [...table.tHead.rows[0].cells];
    heads.forEach((head, column) => {
      if (head.dataset.sort === undefined) return;
      const button = document.createElement("button");
      button.type = "button";
      button.append(...head.childNodes);
      head.append(button);
      button.addEventListener("click", () => {
        const up = head.getAttribute("aria-sort") === "descending";
        heads.forEach((other) => other.removeAttribute("aria-sort"));
        head.setAttribute("aria-sort", up ? "ascending" : "descending");
        const compare = (a, b) => {
          const [x, y] = [held.key(a, column), held.key(b, column)];
          const [p, q] = [parseFloat(x), parseFloat(y)];
          return Number.isNaN(p) || Number.isNaN(q) ? String(x).localeCompare(String(y)) : p - q;
        };
        held.order = [...held.order].sort((a, b) => (up ? compare(a, b) : compare(b, a)));
        held.search(held.wanted ?? "");
      });
    });
    held.search = (wanted) => {
      held.wanted = wanted.toLowerCase();
      held.show(held.order.filter((row) => held.name(row).toLowerCase().includes(held.wanted)));
    };
  }
  for (const box of document.querySelectorAll("input[type=search][data-table]")) {
    box.addEventListener("input", () => tables.get(box.dataset.table).search(box.value));
  }
  for (const button of document.querySelectorAll("button[data-json]")) {
    button.addEventListener("click", () => {
      const text = document.getElementById(button.dataset.json).textContent;
      const link = document.createElement("a");
      link.href = URL.createObjectURL(new Blob([text], { type: "application/json" }));
      link.download = button.dataset.name;
      link.click();
      URL.revokeObjectURL(link.href);
    });
  }
}
