// Shows what is said as it is said, and says something without leaving the page.
const said = document.getElementById("said");
const form = document.querySelector("form");

// The browser connects again by itself, and tells the id of the last event that it has.
new EventSource(said.dataset.events).onmessage = (event) => {
  const { name, text } = JSON.parse(event.data);
  const line = document.createElement("li");
  const who = document.createElement("b");
  // Text, never HTML: whatever somebody says, it is only shown.
  who.textContent = name;
  line.append(who, " ", text);
  said.append(line);
  line.scrollIntoView();
};

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  const response = await fetch(form.action, { method: "POST", body: new URLSearchParams(new FormData(form)) });
  if (response.ok) form.elements.text.value = "";
  else alert(await response.text());
});
