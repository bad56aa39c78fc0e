// Plays stories of people with matrix-js-sdk: one JSON object per line on the standard input ({id, who: the file of the
// story, act: its name, url, ...}), one per answer on the standard output ({id, result} or {id, error}).

import "fake-indexeddb/auto";
import readline from "node:readline";

const answerTo = process.stdout.write.bind(process.stdout);
for (const level of ["log", "info", "debug", "trace"]) {
    console[level] = () => undefined; // the standard output is for answers, and the log for what is wrong
}
process.on("unhandledRejection", (problem) => console.error("nobody caught", problem)); // a page would live on, too

const { Stage, assert } = await import("./stories/stage.mjs");
const { logger } = await import("matrix-js-sdk/lib/logger.js");
logger.setLevel("warn", false);

async function play({ who, act, url, ...details }) {
    const { [act]: story } = await import(`./stories/${who}.mjs`);
    const stage = new Stage(url);
    const began = Date.now();
    try {
        const told = await story(stage, details);
        assert.deepEqual(stage.complaints, [], "the server refused what it should not have refused");
        return { told: told ?? null, seconds: (Date.now() - began) / 1000 };
    } catch (problem) {
        console.error("refused:", stage.refusals);
        throw problem;
    } finally {
        stage.close();
    }
}

async function answer(line) {
    const order = JSON.parse(line);
    let reply;
    try {
        reply = { id: order.id, result: await play(order) };
    } catch (problem) {
        reply = { id: order.id, error: String(problem?.stack ?? problem) };
    }
    answerTo(JSON.stringify(reply) + "\n");
}

readline
    .createInterface({ input: process.stdin })
    .on("line", (line) => void answer(line))
    .on("close", () => process.exit(0));
answerTo(JSON.stringify({ id: 0, result: { version: process.version } }) + "\n");
