import { resolve } from "node:path";
import react from "@vitejs/plugin-react";
import { defineConfig, type Plugin } from "vite";

// Two entries, one per front end, so that an investor never downloads the dashboard. Hashed names
// under /assets/ are cached for ever by the daemon; the two pages are not.
const hub = process.env.RWAHUB_URL ?? "http://127.0.0.1:8080";

/** As the daemon does: every path below an entry is that entry's page. */
const entries: Plugin = {
  name: "entries",
  configureServer(server) {
    server.middlewares.use((request, _response, next) => {
      const entry = /^\/(admin|market)(\/|$)/.exec(request.url ?? "")?.[1];
      if (entry) request.url = `/${entry}.html`;
      next();
    });
  },
};

export default defineConfig({
  plugins: [react(), entries],
  build: {
    target: "es2022",
    sourcemap: false,
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    rollupOptions: {
      input: { admin: resolve(import.meta.dirname, "admin.html"), market: resolve(import.meta.dirname, "market.html") },
    },
  },
  server: {
    proxy: { "/api": hub, "/rpc": hub, "/auth": hub, "/readyz": hub },
  },
});
