"""The page: a prompt, and two tabs with a part for each run. Gradio makes it; nothing in it comes from elsewhere."""

import os
from collections.abc import Sequence
from pathlib import Path

os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"  # read when gradio is imported
os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"

import gradio
from fastapi import FastAPI, Request, Response
from starlette.middleware.base import RequestResponseEndpoint

from seqlab.answers import Sampling
from seqlab.play.drawing import picture
from seqlab.play.looks import Looked
from seqlab.play.markup import looked, side_by_side, watched

MOST_SAMPLES, MOST_CLICKED = 20, 16
# A browser that has this asks no other host, whatever the page's scripts say.
POLICY = (
    "default-src 'self' data: blob:; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; "
    "style-src 'self' 'unsafe-inline'; connect-src 'self' data: blob:; frame-ancestors 'none'; form-action 'self'"
)
HOSTS = ("127.0.0.1", "localhost")
UPLOAD = "/gradio_api/upload"


def application(runs: Sequence[Looked]) -> FastAPI:
    """The application that serves the page for some runs."""
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)

    @app.middleware("http")
    async def guard(request: Request, following: RequestResponseEndpoint) -> Response:
        if request.url.hostname not in HOSTS:  # a site elsewhere whose name leads to this machine
            return Response("this page is for 127.0.0.1 alone", status_code=403)
        origin = request.headers.get("origin")
        if origin is not None and origin != f"{request.url.scheme}://{request.url.netloc}":
            return Response("this page answers no other page", status_code=403)
        if request.scope["path"].rstrip("/") == UPLOAD:  # nobody needs to leave files here
            return Response(status_code=404)
        response = await following(request)
        response.headers["Content-Security-Policy"] = POLICY
        response.headers["Referrer-Policy"] = "no-referrer"
        return response

    font = ["system-ui", "sans-serif"]
    theme = gradio.themes.Base(font=font, font_mono=["ui-monospace", "monospace"])
    css = (Path(__file__).parent / "page.css").read_text(encoding="utf-8")
    return gradio.mount_gradio_app(
        app, page(runs), "/", server_name=HOSTS[0], footer_links=[], theme=theme, css=css, ssr_mode=False,
        show_error=True, enable_monitoring=False, pwa=False, mcp_server=False, run_history=False,
    )  # fmt: skip


def page(runs: Sequence[Looked]) -> gradio.Blocks:
    """The page itself: what a visitor sends is kept for that visitor alone, so visitors do not meet."""

    def answered(prompt: str | None, number: float | None, temperature: float | None) -> tuple[str, str]:
        asked = prompt or ""  # an empty field is None
        sampling = Sampling(max(1, min(int(number or 1), MOST_SAMPLES)), max(0.0, float(temperature or 0)))
        return side_by_side([looked(run, run.look(asked, sampling)) for run in runs]), asked

    def seen(prompt: str) -> str:
        found = [(run, run.inside(prompt)) for run in runs]
        return side_by_side([watched(run, inside, picture(inside)) for run, inside in found])

    clicked = list(dict.fromkeys(prompt for run in runs for prompt in run.prompts()))[:MOST_CLICKED]
    first = clicked[0] if clicked else ""
    with gradio.Blocks(title="SeqLab", analytics_enabled=False) as blocks:
        with gradio.Row():
            prompt = gradio.Textbox(first, label="Prompt, then Enter", autofocus=True, scale=4, elem_id="prompt")
            number = gradio.Number(3, label="samples", precision=0, minimum=1, maximum=MOST_SAMPLES, elem_id="number")
            temperature = gradio.Number(1.0, label="temperature", minimum=0, elem_id="temperature")
            ask = gradio.Button("Answer", variant="primary", elem_id="ask")
        with gradio.Row(elem_id="clicked"):
            buttons = [gradio.Button(text, size="sm", min_width=60) for text in clicked]
        with gradio.Tab("Answers", id="answers"):
            answers = gradio.HTML(elem_id="answers")
        with gradio.Tab("Inside", id="inside"):
            gradio.Markdown("What each model attends to, and how large each part of its state is, step by step.")
            inside = gradio.HTML(elem_id="inside")
        asked = gradio.State("")  # what was answered: the visitor may type the next prompt meanwhile
        given, shown = [prompt, number, temperature], [answers, asked]
        for event in (prompt.submit, ask.click, blocks.load):
            event(answered, given, shown, show_progress="minimal").then(seen, asked, inside, show_progress="hidden")
        for button in buttons:
            chosen = button.click(lambda text: text, button, prompt, show_progress="hidden")
            chosen.then(answered, given, shown, show_progress="minimal").then(
                seen, asked, inside, show_progress="hidden"
            )
    return blocks
