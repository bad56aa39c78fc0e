// Makes an application of Element Web's parts, which npm has: `node build.mjs`, into dist/.
// The parts come as sources of TypeScript and PostCSS, without what joins them: that is application.mjs.

import { cpSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import path from "node:path";
import { fileURLToPath } from "node:url";
import esbuild from "esbuild";
import postcss from "postcss";
import easings from "postcss-easings";
import hexrgba from "postcss-hexrgba";
import imports from "postcss-import";
import mixins from "postcss-mixins";
import nested from "postcss-nested";
import scss from "postcss-scss";
import variables from "postcss-simple-vars";

const HERE = path.dirname(fileURLToPath(import.meta.url));
const ELEMENT = path.join(HERE, "node_modules", "matrix-react-sdk");
const OUT = path.join(HERE, "dist");
const WORKERS = ["blurhash", "indexeddb", "playback"];
const AS_FILES = { ".gif": "file", ".png": "file", ".ttf": "file", ".wasm": "file", ".woff": "file", ".woff2": "file" };
const { resolve: locate } = createRequire(import.meta.url);

// What Element expects of its bundler beyond what esbuild does by itself.
const element = {
    name: "element",
    setup(build) {
        // Scripts that are to be started by their address.
        build.onResolve({ filter: /^opus-recorder\/dist\/.*\.js$/ }, ({ path: name }) => ({
            path: locate(name),
            namespace: "address",
        }));
        build.onResolve({ filter: /\/RecorderWorklet$/ }, ({ path: name, resolveDir }) => ({
            path: path.join(resolveDir, `${name}.ts`),
            namespace: "address",
        }));
        build.onLoad({ filter: /.*/, namespace: "address" }, ({ path: file }) => ({
            contents: readFileSync(file),
            loader: "file",
        }));

        // What other loaders would do.
        build.onResolve({ filter: /^\$webapp\// }, () => ({ path: "languages", namespace: "none" }));
        build.onResolve({ filter: /^!!raw-loader!/ }, () => ({ path: "raw", namespace: "none" }));
        build.onResolve({ filter: /^util$/ }, () => ({ path: "util", namespace: "none" }));
        build.onLoad({ filter: /.*/, namespace: "none" }, () => ({
            contents: "export const isArray = Array.isArray; export default undefined;",
        }));

        // Workers are entries of their own, and lie beside the script that starts them.
        build.onLoad({ filter: /WorkerFactory\.ts$/ }, ({ path: file }) => ({
            contents: readFileSync(file, "utf8").replace(".worker.ts", ".worker.js"),
            loader: "ts",
        }));

        // A drawing is an address, and also a component.
        build.onLoad({ filter: /\.svg$/ }, ({ path: file }) => {
            const drawing = readFileSync(file, "utf8");
            const begin = drawing.indexOf(">", drawing.indexOf("<svg")) + 1;
            const inside = drawing.slice(begin, drawing.lastIndexOf("</svg>"));
            const address = `data:image/svg+xml;base64,${Buffer.from(drawing).toString("base64")}`;
            const box = /viewBox="([^"]*)"/.exec(drawing)?.[1];
            return {
                contents: `
                    import { createElement } from "react";
                    export default ${JSON.stringify(address)};
                    export const Icon = (attributes) => createElement("svg", {
                        role: "presentation", "aria-hidden": true, viewBox: ${JSON.stringify(box)}, fill: "none",
                        dangerouslySetInnerHTML: { __html: ${JSON.stringify(inside)} }, ...attributes,
                    });`,
                loader: "js",
                resolveDir: HERE,
            };
        });
    },
};

const COMMON = {
    absWorkingDir: HERE,
    outdir: OUT,
    bundle: true,
    minify: true,
    target: "chrome120",
    publicPath: "/",
    assetNames: "assets/[name]-[hash]",
    inject: [path.join(HERE, "node_globals.mjs")],
    loader: AS_FILES,
    define: { global: "globalThis", "process.env.NODE_ENV": '"production"', "process.env": "{}" },
    plugins: [element],
    tsconfigRaw: { compilerOptions: { experimentalDecorators: true, useDefineForClassFields: true, jsx: "react" } },
    logLevel: "warning",
};

async function bundle() {
    const workers = WORKERS.map((name) => `${ELEMENT}/src/workers/${name}.worker.ts`);
    await Promise.all([
        esbuild.build({ ...COMMON, entryPoints: ["application.mjs"], format: "esm", splitting: true }),
        esbuild.build({ ...COMMON, entryPoints: workers, format: "iife" }),
    ]);
}

async function style() {
    const file = path.join(ELEMENT, "res/themes/light/css/light.pcss");
    const sheet = await postcss([
        imports(),
        mixins(),
        variables(),
        nested(),
        easings(),
        hexrgba(),
    ]).process(readFileSync(file, "utf8"), { from: file, map: false, syntax: scss });
    const css = sheet.css.replaceAll("../../../", "/res/").replaceAll("@vector-im/compound-design-tokens/", "/");
    writeFileSync(path.join(OUT, "light.css"), css);
}

rmSync(OUT, { recursive: true, force: true });
mkdirSync(path.join(OUT, "i18n"), { recursive: true });
await Promise.all([bundle(), style()]);
for (const folder of ["img", "fonts", "media"]) {
    cpSync(path.join(ELEMENT, "res", folder), path.join(OUT, "res", folder), { recursive: true });
}
const tokens = path.join(HERE, "node_modules/@vector-im/compound-design-tokens");
cpSync(path.join(tokens, "icons"), path.join(OUT, "icons"), { recursive: true });
cpSync(path.join(ELEMENT, "src/i18n/strings/en_EN.json"), path.join(OUT, "i18n/en_EN.json"));
writeFileSync(path.join(OUT, "i18n/languages.json"), JSON.stringify({ en: "en_EN.json" }));
cpSync(path.join(HERE, "index.html"), path.join(OUT, "index.html"));
writeFileSync(path.join(OUT, ".built"), "");
