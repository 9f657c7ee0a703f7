// The page's handle: window.AIaaSWidget.
const TAG = "aiaas-chat";
let chat = null;

const AIaaSWidget = {
  mount(options = {}) {
    AIaaSWidget.destroy();
    chat = document.createElement(TAG);
    for (const [name, value] of Object.entries(options)) if (value != null) chat.dataset[name] = value;
    document.body.append(chat);
    window.AIaaSWidget = AIaaSWidget;
    return chat;
  },
  update: (options) => chat && chat.update(options),
  open: () => chat && chat.open(),
  close: () => chat && chat.close(),
  ask: (text) => chat && chat.ask(text),
  destroy() {
    if (chat) chat.remove();
    chat = null;
    if (window.AIaaSWidget === AIaaSWidget) delete window.AIaaSWidget;
  },
};

if (!customElements.get(TAG)) customElements.define(TAG, AIaaSChat);
window.AIaaSWidget = AIaaSWidget;
const script = document.currentScript;
if (script && script.dataset.key) {
  const start = () => AIaaSWidget.mount({ ...script.dataset });
  if (document.body) start();
  else document.addEventListener("DOMContentLoaded", start, { once: true });
}
