// Private browsing and sandboxed frames may forbid storage: then the memory of this page has to do.
class Drawer {
  constructor(area, name) {
    this.name = name;
    try {
      this.area = window[area];
      this.value = JSON.parse(this.area.getItem(name)) || {};
    } catch {
      this.value = {};
    }
  }

  save(changes) {
    Object.assign(this.value, changes);
    try {
      this.area.setItem(this.name, JSON.stringify(this.value));
    } catch { /* the page's memory has it */ }
  }

  clear() {
    this.value = {};
    try {
      this.area.removeItem(this.name);
    } catch { /* nothing was kept */ }
  }
}
