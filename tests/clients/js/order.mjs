// The Rust crypto loses a step of a verification that comes before the answer to the step that it follows, which can
// happen where several people live in one process. So whoever has something under way is told of nothing new until it
// has been answered: such an order has a `fetch` for a client, and follows what the client's crypto sends.
export class Order {
    #underWay = new Set();
    #fetch;

    constructor(fetch) {
        this.#fetch = fetch;
    }

    fetch = async (address, details) => {
        const answer = await this.#fetch(address, details);
        if (/\/sync\b/.test(String(address))) await Promise.allSettled(this.#underWay);
        return answer;
    };

    follow(client) {
        const { outgoingRequestProcessor: processor } = client.getCrypto();
        const make = processor.makeOutgoingRequest.bind(processor);
        processor.makeOutgoingRequest = (...request) => {
            const made = make(...request);
            this.#underWay.add(made);
            return made.finally(() => this.#underWay.delete(made));
        };
    }
}
