// A secret link: what stands behind # never left this browser until here, where it becomes a cookie.
const said = document.getElementById("said"), token = location.hash.slice(1);
history.replaceState(null, "", location.pathname);
if (!token) said.textContent = "This address needs the whole secret link: copy it from the message that you were sent.";
else {
  fetch("enter", { method: "POST", body: token, headers: { "Content-Type": "text/plain" } }).then(async (answer) => {
    const { to, words } = await answer.json();
    if (to) location.replace(new URL(to, document.baseURI));
    else said.textContent = words;
  }).catch(() => (said.textContent = "The server is not responding. Open the link again in a moment."));
}
