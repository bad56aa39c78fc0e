// People with Element Web in Chromium, who do what they are told: one JSON object per line on the standard input
// ({id, who, act, ...}), one per answer on the standard output ({id, result} or {id, error}).
// Each has a browser context of their own, as though each had a browser. After each act there is a picture of the page.

import { createReadStream, mkdirSync, statSync } from "node:fs";
import { createServer } from "node:http";
import path from "node:path";
import readline from "node:readline";
import { fileURLToPath } from "node:url";
import { chromium } from "playwright-core";

const PAGES = path.join(path.dirname(fileURLToPath(import.meta.url)), "dist");
const TYPES = {
    ".css": "text/css",
    ".html": "text/html",
    ".js": "text/javascript",
    ".json": "application/json",
    ".svg": "image/svg+xml",
    ".wasm": "application/wasm",
};
const OPTIONS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1", // nobody outside is asked for anything
];
const SURROUNDINGS = {
    locale: "en-GB",
    viewport: { width: 1280, height: 800 },
    reducedMotion: "reduce",
    permissions: ["clipboard-write"],
};
const WAIT_MS = 40_000; // for anything that a page is to show
const LIFE_MS = 600_000; // of this process, should nobody end it

const [executablePath, homeserver, pictures] = process.argv.slice(2);
mkdirSync(pictures, { recursive: true });

const people = new Map();
let taken = 0;

// What the application is told of its surroundings; nothing that lies in the Internet.
const configuration = {
    default_hs_url: homeserver,
    brand: "Element",
    default_theme: "light",
    disable_guests: true,
    disable_3pid_login: true,
    integrations_ui_url: null,
    integrations_rest_url: null,
    jitsi: { preferred_domain: null },
    features: { feature_release_announcement: false },
    setting_defaults: { "UIFeature.feedback": false, "FTUE.userOnboardingButton": false },
};

function serve(request, response) {
    const name = new URL(request.url, "http://localhost").pathname;
    if (name === "/config.json") {
        response.setHeader("Content-Type", "application/json");
        response.end(JSON.stringify(configuration));
        return;
    }
    const file = path.join(PAGES, path.normalize(name === "/" ? "/index.html" : name));
    if (!statSync(file, { throwIfNoEntry: false })?.isFile()) {
        response.statusCode = 404;
        response.end();
        return;
    }
    response.setHeader("Content-Type", TYPES[path.extname(file)] ?? "application/octet-stream");
    createReadStream(file).pipe(response);
}

setTimeout(() => process.exit(1), LIFE_MS).unref();

const pages = createServer(serve);
await new Promise((resolve) => pages.listen(0, "127.0.0.1", resolve));
const application = `http://127.0.0.1:${pages.address().port}`;
const browser = await chromium.launch({ executablePath, args: OPTIONS });

class Person {
    constructor(context, page) {
        this.context = context;
        this.page = page;
        this.refused = []; // by the homeserver
        page.on("response", (response) => this.note(response));
        page.on("pageerror", (problem) => console.error("page error", problem));
        page.on("console", (message) => message.type() === "error" && console.error("console", message.text()));
    }

    note(response) {
        const { origin, pathname } = new URL(response.url());
        if (origin === homeserver && response.status() >= 400) {
            this.refused.push({ method: response.request().method(), path: pathname, status: response.status() });
        }
    }

    async open(hash) {
        await this.page.goto(`${application}/#/${hash}`);
    }

    button(name, within = this.page) {
        return within.getByRole("button", { name, exact: true });
    }

    composer(within = this.page) {
        return within.locator(".mx_BasicMessageComposer_input").first();
    }

    async write(text, within = this.page) {
        await this.composer(within).click();
        await this.page.keyboard.type(text);
        await this.page.keyboard.press("Enter");
    }

    tile(text, within = this.page) {
        return within.locator(".mx_EventTile", { hasText: text }).last();
    }

    async picture(name) {
        taken += 1;
        await this.page.screenshot({ path: path.join(pictures, `${String(taken).padStart(2, "0")}-${name}.png`) });
    }
}

const acts = {
    async register({ who, username, password }) {
        const person = people.get(who);
        await person.open("register");
        await person.page.getByRole("textbox", { name: "Username" }).fill(username);
        await person.page.getByPlaceholder("Password", { exact: true }).fill(password);
        await person.page.getByPlaceholder("Confirm password").fill(password);
        await person.picture(`${who}-form`);
        await person.button("Register").click();
        await person.page.locator(".mx_UseCaseSelection_skip, .mx_MatrixChat").first().waitFor();
    },

    async login({ who, username, password }) {
        const person = people.get(who);
        await person.open("login");
        await person.page.getByRole("textbox", { name: "Username" }).fill(username);
        await person.page.getByPlaceholder("Password").fill(password);
        await person.picture(`${who}-form`);
        await person.button("Sign in").click();
    },

    // Whoever has just registered is asked what for.
    async begin({ who }) {
        const person = people.get(who);
        await person.button("Skip").click();
        await person.page.locator(".mx_LeftPanel").waitFor();
    },

    async createRoom({ who, name }) {
        const person = people.get(who);
        await person.button("Add room").first().click();
        await person.page.getByRole("menuitem", { name: "New room" }).click();
        const dialog = person.page.locator(".mx_CreateRoomDialog");
        await dialog.getByRole("textbox", { name: "Name" }).fill(name);
        await person.picture(`${who}-new-room`);
        await person.button("Create room", dialog).click();
        await dialog.waitFor({ state: "detached" });
        return acts.enter({ who, name });
    },

    async enter({ who, name }) {
        const person = people.get(who);
        await person.page.getByRole("treeitem", { name: new RegExp(`^${name}`) }).click();
        await person.page.locator(".mx_RoomHeader", { hasText: name }).waitFor();
        await person.composer().waitFor();
        return new URL(person.page.url()).hash.replace("#/room/", "");
    },

    async say({ who, text }) {
        const person = people.get(who);
        await person.write(text);
        await person.tile(text).waitFor();
        return acts.hear({ who, text });
    },

    // What the tile says of an event, once it is shown and sent.
    async hear({ who, text, inThread = false }) {
        const person = people.get(who);
        const tile = person.tile(text, person.page.locator(inThread ? ".mx_ThreadView" : ".mx_RoomView_timeline"));
        await tile.waitFor();
        const shown = await tile.elementHandle();
        await person.page.waitForFunction((element) => element.dataset.eventId?.startsWith("$"), shown);
        return {
            event: await tile.getAttribute("data-event-id"),
            shields: await tile.locator(".mx_EventTile_e2eIcon").count(),
        };
    },

    async react({ who, text, key }) {
        const person = people.get(who);
        await person.tile(text).hover();
        await person.button("React", person.tile(text)).click();
        await person.page.locator(".mx_EmojiPicker_item", { hasText: key }).last().click();
        return acts.seeReaction({ who, text, key });
    },

    async seeReaction({ who, text, key }) {
        const reaction = people.get(who).tile(text).locator(".mx_ReactionsRowButton", { hasText: key });
        await reaction.waitFor();
        return reaction.locator(".mx_ReactionsRowButton_count").innerText();
    },

    async replyInThread({ who, text, reply }) {
        const person = people.get(who);
        await person.tile(text).hover();
        await person.button("Reply in thread", person.tile(text)).click();
        await person.write(reply, person.page.locator(".mx_ThreadView"));
        return acts.hear({ who, text: reply, inThread: true });
    },

    // From the summary of the thread, which is below its root.
    async openThread({ who, text, reply }) {
        const person = people.get(who);
        const summary = person.tile(text).locator(".mx_ThreadSummary", { hasText: reply });
        await summary.click();
        return acts.hear({ who, text: reply, inThread: true });
    },

    async closePanel({ who }) {
        const person = people.get(who);
        await person.button("Close", person.page.locator(".mx_RightPanel")).click();
        await person.page.locator(".mx_RightPanel").waitFor({ state: "detached" });
    },

    // Keys of messages are kept on the server, under a key that is shown once.
    async protect({ who }) {
        const person = people.get(who);
        const offer = person.page.locator(".mx_Toast_toast", { hasText: "Set up Secure Backup" });
        await person.button("Continue", offer).click();
        const dialog = person.page.locator(".mx_CreateSecretStorageDialog");
        await person.picture(`${who}-how`);
        await person.button("Continue", dialog).click();
        await person.button("Copy", dialog).click();
        await person.picture(`${who}-key`);
        await person.button("Continue", dialog).click();
        await person.button("Done", dialog).click();
        await dialog.waitFor({ state: "detached" });
    },

    // Both sides of a verification by emoji: the new device asks, the old one answers.
    async verify({ who, by }) {
        const [fresh, old] = [people.get(who), people.get(by)];
        await fresh.button("Verify with another device").click();
        await old.button("Verify Session", old.page.locator(".mx_Toast_toast")).click();
        await old.picture(`${by}-asked`);
        await fresh.page.getByRole("button", { name: /^(Start|Verify by emoji|Start Verification)$/ }).click();
        const shown = [];
        for (const person of [fresh, old]) {
            await person.page.locator(".mx_VerificationShowSas_emojiSas").waitFor();
            shown.push(await person.page.locator(".mx_VerificationShowSas_emojiSas_label").allInnerTexts());
        }
        await fresh.picture(`${who}-emoji`);
        await old.picture(`${by}-emoji`);
        await fresh.button("They match").click();
        await old.button("They match").click();
        await old.button("Got it").or(old.button("Got It")).click();
        await fresh.button("Done").or(fresh.button("Got it")).first().click();
        await fresh.page.locator(".mx_LeftPanel").waitFor();
        await old.picture(`${by}-verified`);
        return shown;
    },

    async invite({ who, user }) {
        const person = people.get(who);
        await person.write(`/invite ${user}`);
        await person.tile("invited").waitFor();
    },

    async accept({ who, name }) {
        const person = people.get(who);
        await person.page.getByRole("treeitem", { name: new RegExp(`^${name}`) }).click();
        await person.picture(`${who}-invited`);
        await person.button("Accept").click();
        await person.composer().waitFor();
    },

    // What the homeserver did not do.
    async complaints({ who }) {
        return people.get(who).refused;
    },
};

async function perform({ who, act, ...details }) {
    if (!people.has(who)) {
        const context = await browser.newContext(SURROUNDINGS);
        context.setDefaultTimeout(WAIT_MS);
        people.set(who, new Person(context, await context.newPage()));
    }
    const person = people.get(who);
    try {
        return await acts[act].call(acts, { who, ...details });
    } finally {
        await person.picture(`${who}-${act}`).catch(() => {});
    }
}

const answer = (message) => process.stdout.write(`${JSON.stringify(message)}\n`);
answer({ id: 0, result: "ready" });
for await (const line of readline.createInterface({ input: process.stdin })) {
    const { id, ...told } = JSON.parse(line);
    try {
        answer({ id, result: (await perform(told)) ?? null });
    } catch (problem) {
        answer({ id, error: String(problem?.stack ?? problem) });
    }
}
await browser.close();
pages.close();
