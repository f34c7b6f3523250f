// A wallet for the browser under test: announced by EIP-6963, it asks the test's node, whose accounts are
// unlocked. What it does next is set from the test through `window.testWallet`.

/** To be run in the page before its own scripts. */
export function injectedWallet({ account, chain }) {
  const listeners = {};
  const state = { account, chain, mode: "good", asked: [] };
  const tell = (event, value) => (listeners[event] ?? []).forEach((listener) => listener(value));
  const refuse = (code, message) => Promise.reject(Object.assign(new Error(message), { code }));
  window.testWallet = {
    state,
    set: (mode) => (state.mode = mode),
    account: (next) => tell("accountsChanged", [(state.account = next)]),
    chain: (next) => tell("chainChanged", `0x${(state.chain = next).toString(16)}`),
  };
  const provider = {
    on: (event, listener) => (listeners[event] ??= []).push(listener),
    removeListener: (event, listener) => (listeners[event] = (listeners[event] ?? []).filter((one) => one !== listener)),
    async request({ method, params }) {
      state.asked.push(method);
      if (state.mode === "locked") return refuse(4100, "locked");
      switch (method) {
        case "eth_requestAccounts":
          if (state.mode === "reject") return refuse(4001, "User rejected the request.");
          state.connected = true;
          return [state.account];
        case "eth_accounts":
          return state.connected ? [state.account] : [];
        case "eth_chainId":
          return `0x${state.chain.toString(16)}`;
        case "wallet_switchEthereumChain":
          window.testWallet.chain(Number(params[0].chainId));
          return null;
        case "eth_sendTransaction":
          if (state.mode === "reject") return refuse(4001, "User rejected the request.");
          return window.sendFromWallet(params[0]);
        default:
          return refuse(4200, `unsupported: ${method}`);
      }
    },
  };
  const icon = "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg'/%3E";
  const info = { uuid: "7f3c1f6e-0000-4000-8000-000000000001", name: "Test Wallet", icon, rdns: "test.wallet" };
  const announce = () => window.dispatchEvent(new CustomEvent("eip6963:announceProvider", { detail: Object.freeze({ info, provider }) }));
  window.addEventListener("eip6963:requestProvider", announce);
  announce();
}

/** The init script of {@link injectedWallet} for one account. */
export const walletScript = (options) => `(${injectedWallet})(${JSON.stringify(options)})`;
