// The two dialogs: one asks once more before something is changed, one asks for the token. <dialog> keeps the focus inside,
// closes on Escape, and gives the focus back to the button that opened it.

import { byId, say } from "./dom.js";

const dialog = byId("ask");
const form = dialog.querySelector("form");
const tokenDialog = byId("token");

for (const one of [dialog, tokenDialog]) {
  one.querySelector("[data-close]").addEventListener("click", () => one.close());
}

let asked = null;
let opener = null;
let place = null;

const values = () => Object.fromEntries(new FormData(form));

function reword() {
  say(byId("ask-what"), asked.what(values()));
  say(byId("ask-yes"), asked.yes(values()));
}

/** Asks, and does it on a yes. `what` and `yes` are worded anew with every change of a field. */
export function ask(question) {
  asked = question;
  opener = document.activeElement;
  place = opener.parentElement;
  say(byId("ask-title"), question.title);
  say(byId("ask-error"), "");
  byId("ask-fields").replaceChildren(...question.fields);
  reword();
  dialog.showModal();
  (form.querySelector("select") ?? byId("ask-yes")).focus();
}

form.addEventListener("input", reword);
form.addEventListener("submit", async (event) => {
  event.preventDefault();
  const chosen = values();
  byId("ask-yes").disabled = true;
  try {
    await asked.act(chosen);
    dialog.close();
    asked.done(chosen);
  } catch (error) {
    say(byId("ask-error"), error.message);
  } finally {
    byId("ask-yes").disabled = false;
  }
});

// The button that opened it may be gone, for "Hold open" is not offered for what is held open: then the one beside it.
dialog.addEventListener("close", () => {
  setTimeout(() => {
    if (opener && !opener.isConnected) (place.isConnected ? place.querySelector("button") : byId("now")).focus();
  }, 0);
});

/** The token somebody types, or null. `wrong`: the one shown before was not right. */
export function askToken(wrong) {
  const field = byId("token-value");
  field.value = "";
  say(byId("token-error"), wrong ? "That was not the token." : "");
  tokenDialog.showModal();
  field.focus();
  return new Promise((answer) => {
    let shown = null;
    const submitted = (event) => {
      event.preventDefault();
      shown = field.value;
      tokenDialog.close();
    };
    tokenDialog.addEventListener("submit", submitted);
    tokenDialog.addEventListener(
      "close",
      () => {
        tokenDialog.removeEventListener("submit", submitted);
        field.value = "";
        answer(shown);
      },
      { once: true },
    );
  });
}
