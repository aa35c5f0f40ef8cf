// What is said to the server, and what is kept in this browser.

/** The server said no; the message is its sentence. */
export class Refused extends Error {}

/** GET: paths are relative, because this page's own address holds the token. */
export async function get(name, query = {}) {
  return answered(() => fetch(`api/${name}?${new URLSearchParams(query)}`));
}

/** POST. The same id is sent again if the connection broke: the server counts it once. */
export async function post(name, said) {
  const body = JSON.stringify({ ...said, id: crypto.randomUUID() });
  const headers = { "Content-Type": "application/json" };
  const send = () => fetch(`api/${name}`, { method: "POST", headers, body });
  return answered(() => send().catch(send), " What you just decided may not be recorded: reload to see.");
}

async function answered(send, consequence = "") {
  let response;
  try {
    response = await send();
  } catch {
    throw new Refused(`The server cannot be reached. Is limrank synth review running?${consequence}`);
  }
  const value = await response.json();
  if (!response.ok) throw new Refused(value.error);
  return value;
}

/** A browser's storage, which may be switched off: then nothing is kept, and `kept` is false. */
export class Kept {
  constructor(storage) {
    this.storage = storage;
  }

  get(key) {
    try {
      return JSON.parse(window[this.storage].getItem(key));
    } catch {
      return null;
    }
  }

  set(key, value) {
    try {
      window[this.storage].setItem(key, JSON.stringify(value));
      return true;
    } catch {
      return false;
    }
  }

  drop(key) {
    try {
      window[this.storage].removeItem(key);
    } catch {
      // Nothing was kept, so there is nothing to drop.
    }
  }
}
