// Sets the chosen look before the first paint; page.js and public.js offer the button that changes it.
const chosenTheme = localStorage.getItem("theme");
if (chosenTheme === "light" || chosenTheme === "dark") document.documentElement.dataset.theme = chosenTheme;
