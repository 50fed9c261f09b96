"""The page to play with, without a browser: what a run shows, what is escaped, and whom the page answers."""

import threading

import pytest
import torch

pytest.importorskip("gradio", reason="extra `play`: gradio")
from fastapi.testclient import TestClient

from seqlab.answers import Answer, Fault, Sampling
from seqlab.play.__main__ import main
from seqlab.play.drawing import picture
from seqlab.play.looks import Inside, Looked
from seqlab.play.markup import completion, looked, watched
from seqlab.play.page import application
from seqlab.predict import main as predict


@pytest.fixture(scope="module")
def run(finished_run):
    return Looked.load(str(finished_run[0]), "best.ckpt")


@pytest.fixture(scope="module")
def client(run):
    with TestClient(application([run]), base_url="http://127.0.0.1:7860") as client:
        yield client


def test_a_look_is_what_predict_prints(run, finished_run, capsys):
    look = run.look("( [", Sampling(2, seed=1))
    assert predict([str(finished_run[0]), "( [", "--sample", "--num", "2"]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith(look.answer)
    assert all(one.text in printed for one in look.samples) and len(look.samples) == 2
    assert look.best == "])" and len(look.steps.places) == 3
    assert all(len(left) == 3 for left in look.rules.values())
    html = looked(run, look)
    assert "best possible" in html and html.count("<li>") == 3


def test_a_bad_prompt_is_one_line_that_predict_prints(run, finished_run, capsys):
    assert predict([str(finished_run[0]), "x<b>"]) == 2
    look = run.look("x<b>", Sampling())
    assert look.error == capsys.readouterr().err.strip() == run.inside("x<b>").error
    assert "<b>" not in looked(run, look) and "at most 2,000" in run.look("(" * 2001, Sampling()).error


def test_faults_are_marked_where_they_are_and_all_is_escaped():
    html = completion(Answer(["<", "b"], ["&"], "", [Fault(1, "breaks <1>"), Fault(3, "breaks 2")], "cut"))
    assert '&lt;<mark title="breaks &lt;1&gt;">b</mark>' in html and "<b>&amp;<mark" in html
    assert "breaks &lt;1&gt;; breaks 2; cut" in html


def test_inside(run):
    inside = run.inside("( [")
    assert inside.attention["layers.0.attention.weights"].shape == (2, 3, 3)
    assert all(values.shape == (3,) for values in inside.norms.values())
    assert "neither attention" in watched(run, type(inside)(), "")


def test_visitors_at_once_get_their_own_answers(run):
    prompts = ["(", "( [", "[ ]", "( ) ["] * 3
    alone = {prompt: run.look(prompt, Sampling(2)).answer for prompt in prompts}
    found = {}

    def visit(number):
        found[number] = run.look(prompts[number], Sampling(2)).answer, len(run.inside(prompts[number]).attention)

    threads = [threading.Thread(target=visit, args=(number,)) for number in range(len(prompts))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {number: (alone[prompt], 1) for number, prompt in enumerate(prompts)}


def test_the_page_is_for_this_machine_and_asks_no_other(client):
    page = client.get("/")
    assert page.status_code == 200 and "connect-src 'self'" in page.headers["content-security-policy"]
    assert TestClient(client.app, base_url="http://evil.example").get("/").status_code == 403


@pytest.mark.parametrize("origin", ["http://evil.example", "http://127.0.0.1:8000", "https://127.0.0.1:7860", "null"])
def test_another_page_is_not_answered(client, origin):
    assert client.get("/", headers={"Origin": origin}).status_code == 403
    assert client.get("/", headers={"Origin": "http://127.0.0.1:7860"}).status_code == 200


def test_no_file_is_left_here(client):
    assert client.post("/gradio_api/upload", files={"files": ("a.txt", b"a")}).status_code == 404


def asked(client, function, *given):
    """What a function of the page answers a visitor."""
    answer = client.post(f"/gradio_api/run/{function}", json={"data": list(given), "session_hash": "visitor"})
    assert answer.status_code == 200, answer.text
    return answer.json()["data"]


def test_cleared_fields_are_answered(client, run):
    answer = asked(client, "answered", None, None, None)[0]
    assert looked(run, run.look("", Sampling(1, 0.0))) in answer


def test_the_inside_is_that_of_the_prompt_that_was_answered(client, run):
    asked(client, "answered", "( [", 1, 1.0)
    (html,) = asked(client, "seen", None)  # the field is not read again
    assert picture(run.inside("( [")) in html


def test_names_with_dollar_signs_are_text():
    broken = Inside("", {}, {"$\\nope{$ a": torch.ones(3)})
    assert picture(broken).startswith("data:image/svg+xml;base64,")


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (["a", "b", "c", "d", "e"], "5 runs: at most 4"),
        (["no/run", "--port", "0"], "no/run: no such run directory"),
        (["no/run", "--port", "99999"], "--port 99999"),
    ],
)
def test_what_cannot_be_shown_is_one_line(words, part, capsys):
    assert main(words) == 2
    told = capsys.readouterr().err
    assert told.startswith(f"error: {part}") and told.count("\n") == 1
