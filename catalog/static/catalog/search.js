/* Suggestions below the search field, as a combobox of the ARIA Authoring Practices. Without this script the field is a plain one. */

const PAUSE = 120; // milliseconds after the last key
const SHORTEST_TEXT = 2; // characters

class SearchField {
  constructor(input) {
    this.input = input;
    this.list = document.createElement("ul");
    this.list.id = "suggestions";
    this.list.className = "suggestions";
    this.list.setAttribute("role", "listbox");
    this.list.setAttribute("aria-label", input.dataset.label);
    this.list.hidden = true;
    input.closest("form").append(this.list);
    for (const [name, value] of Object.entries({ role: "combobox", "aria-autocomplete": "list", "aria-controls": this.list.id })) {
      input.setAttribute(name, value);
    }
    this.chosen = -1;
    this.close();
    input.addEventListener("input", () => this.ask());
    input.addEventListener("keydown", (event) => this.press(event));
    input.addEventListener("blur", () => this.close());
    this.list.addEventListener("pointerdown", (event) => event.preventDefault()); // the field keeps the focus
    this.list.addEventListener("click", (event) => this.open(event.target.closest("[role=option]")));
  }

  get options() {
    return [...this.list.children];
  }

  ask() {
    clearTimeout(this.timer);
    this.request?.abort();
    const text = this.input.value.trim();
    if (text.length < SHORTEST_TEXT) {
      this.close();
      return;
    }
    this.timer = setTimeout(() => this.load(text), PAUSE);
  }

  async load(text) {
    this.request = new AbortController();
    const url = `${this.input.dataset.suggestions}?${new URLSearchParams({ q: text })}`;
    try {
      const response = await fetch(url, { signal: this.request.signal });
      if (response.ok && this.input === document.activeElement) this.show(await response.text());
    } catch {
      this.close(); // a newer text, or no connection: the field works without suggestions
    }
  }

  show(html) {
    this.list.innerHTML = html;
    this.options.forEach((option, index) => {
      option.id = `suggestion-${index}`;
      option.setAttribute("aria-selected", "false");
    });
    this.chosen = -1;
    this.input.removeAttribute("aria-activedescendant");
    this.setOpen(this.options.length > 0);
  }

  close() {
    clearTimeout(this.timer);
    this.choose(-1);
    this.setOpen(false);
  }

  setOpen(isOpen) {
    this.list.hidden = !isOpen;
    this.input.setAttribute("aria-expanded", String(isOpen));
  }

  choose(index) {
    this.options[this.chosen]?.setAttribute("aria-selected", "false");
    this.chosen = index;
    const option = this.options[index];
    if (option) {
      option.setAttribute("aria-selected", "true");
      option.scrollIntoView({ block: "nearest" });
      this.input.setAttribute("aria-activedescendant", option.id);
    } else {
      this.input.removeAttribute("aria-activedescendant");
    }
  }

  press(event) {
    if (this.list.hidden) {
      if (event.key === "ArrowDown") this.ask();
      return;
    }
    const count = this.options.length;
    if (event.key === "ArrowDown") this.choose(this.chosen + 1 < count ? this.chosen + 1 : -1);
    else if (event.key === "ArrowUp") this.choose(this.chosen < 0 ? count - 1 : this.chosen - 1);
    else if (event.key === "Escape") this.close();
    else if (event.key === "Enter" && this.chosen >= 0) this.open(this.options[this.chosen]);
    else return;
    event.preventDefault();
  }

  open(option) {
    if (option) location.assign(option.dataset.url);
  }
}

const input = document.querySelector("[data-suggestions]");
if (input) new SearchField(input);
