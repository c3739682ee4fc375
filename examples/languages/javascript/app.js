// Answers HTTP, counts visits, and greets: what the other three do, in JavaScript.
import { greet } from "examples:languages/greeter@1.0.0";
import { increment } from "wasi:keyvalue/atomics@0.2.0-draft";
import { open } from "wasi:keyvalue/store@0.2.0-draft";

const language = "JavaScript";

// What this component serves to others.
export const greeter = {
  greet: (name) => ({ language, text: `Hello, ${name}! JavaScript greets you.` }),
};

addEventListener("fetch", (event) => event.respondWith(answer(event.request)));

function answer(request) {
  const name = new URL(request.url).searchParams.get("name") || "World";
  let visits;
  try {
    visits = increment(open("visits"), language, 1n);
  } catch (error) {
    return new Response(`${error.payload?.val ?? "the store cannot be used"}\n`, { status: 503 });
  }
  // The component that the manifest links, in whatever language it is.
  const greeting = greet(name);
  const body = JSON.stringify({ language, visits: Number(visits), greeting });
  return new Response(`${body}\n`, { headers: { "content-type": "application/json" } });
}
