// Sounds: clips stand in the page as wav in base64, and are decoded here: its policy loads no media.
(() => {
  const buttons = [...document.querySelectorAll("button.play")];
  if (!buttons.length || !window.AudioContext) return;
  let context, playing;
  const show = (button, on) => {
    button.textContent = on ? "Stop" : "Play";
    button.setAttribute("aria-pressed", String(on));
  };
  const stop = () => {
    if (!playing) return;
    const { source, button } = playing;
    playing = undefined;
    source.onended = null;
    source.stop();
    show(button, false);
  };
  const play = async (button) => {
    const bytes = Uint8Array.from(atob(button.dataset.wav), (c) => c.charCodeAt(0));
    context ??= new AudioContext();
    await context.resume();
    const source = context.createBufferSource();
    source.buffer = await context.decodeAudioData(bytes.buffer);
    stop(); // another may have begun meanwhile
    source.connect(context.destination);
    playing = { source, button };
    source.onended = stop;
    source.start();
    show(button, true);
  };
  for (const button of buttons) {
    button.hidden = false;
    button.addEventListener("click", () => {
      const again = playing?.button === button;
      stop();
      if (!again) play(button).catch(() => { button.textContent = "Cannot be played"; });
    });
  }
})();
