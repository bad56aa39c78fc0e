// How clients with matrix-js-sdk follow their rooms by sliding sync.

import { ClientEvent } from "matrix-js-sdk";
import { SlidingSync } from "matrix-js-sdk/lib/sliding-sync.js";

// A window of the twenty rooms that are most active, with so many events of each.
export function windowed(client, timelineLimit) {
    const members = [["m.room.member", "$LAZY"], ["m.room.member", "$ME"]];
    const room = { timeline_limit: timelineLimit, required_state: [["*", "*"], ...members] };
    return new SlidingSync(client.baseUrl, new Map([["all", { ranges: [[0, 19]], ...room }]]), room, client, 20_000);
}

// By sliding sync the SDK decrypts only the last of several events that come together; what a client shows, it decrypts.
export function decryptAll(client) {
    client.on(ClientEvent.Event, (event) => client.decryptEventIfNeeded(event));
}
