"""GitHub workflows: least rights, pinned actions, nothing of a stranger where something can be written."""

import json
import re
import subprocess
from importlib.resources import files
from pathlib import Path

import pytest
import yaml
from markdown_it import MarkdownIt

FOLDER = Path(__file__).parent.parent / ".github/workflows"
TEXTS = {path.stem: path.read_text(encoding="utf-8") for path in FOLDER.glob("*")}
WORKFLOWS = {name: yaml.safe_load(text) for name, text in TEXTS.items()}
TRIGGER = True  # YAML 1.1 reads the key `on` as yes
HARMLESS = {  # what an expression may put into a file: numbers, hashes and paths that GitHub makes
    "github.event.pull_request.number",
    "github.event.workflow_run.head_sha",
    "github.event.workflow_run.id",
    "github.token",
    "matrix.python",
    "runner.temp",
}


def steps(name):
    return [step for job in WORKFLOWS[name]["jobs"].values() for step in job["steps"]]


def actions(name):
    return [step["uses"].partition("@")[0] for step in steps(name) if "uses" in step]


def comment_script():
    return next(step["with"]["script"] for step in steps("comment") if "script" in step.get("with", {}))


def test_the_workflows_are_there():
    assert set(WORKFLOWS) == {"tests", "review", "comment"}
    assert WORKFLOWS["review"][TRIGGER] == "pull_request"
    assert WORKFLOWS["comment"][TRIGGER] == {"workflow_run": {"workflows": ["review"], "types": ["completed"]}}
    assert WORKFLOWS["review"]["name"] == "review"


def test_lint_and_pre_commit_check_the_same():
    root = FOLDER.parent.parent
    recipe = (root / "Makefile").read_text(encoding="utf-8").partition("\nlint:")[2].partition("\n\n")[0]
    hooks = yaml.safe_load((root / ".pre-commit-config.yaml").read_text(encoding="utf-8"))["repos"][0]
    assert hooks["repo"] == "local"  # so that the pinned versions run
    entries = [hook["entry"] for hook in hooks["hooks"]]
    assert [line.split()[0] for line in recipe.splitlines()[1:]] == [entry.split()[0] for entry in entries]


def test_rights_are_the_least():
    rights = {name: workflow["permissions"] for name, workflow in WORKFLOWS.items()}
    assert rights == {"tests": {"contents": "read"}, "review": {"contents": "read"}, "comment": {}}
    of_jobs = {name: [job.get("permissions") for job in flow["jobs"].values()] for name, flow in WORKFLOWS.items()}
    assert of_jobs == {
        "tests": [None],
        "review": [None],
        "comment": [{"actions": "read", "pull-requests": "write"}],
    }


@pytest.mark.parametrize("name", WORKFLOWS)
def test_actions_are_pinned_by_commit_and_say_their_version(name):
    used = re.findall(r"uses: *(.*)", TEXTS[name])
    assert used
    for action in used:
        assert re.fullmatch(r"actions/[a-z-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", action)


def test_one_version_of_each_action():
    pins = {tuple(pin.split("@")) for text in TEXTS.values() for pin in re.findall(r"uses: *(\S+)", text)}
    assert len(pins) == len(dict(pins))


@pytest.mark.parametrize("name", WORKFLOWS)
def test_no_secret_and_no_dangerous_trigger(name):
    assert "secrets" not in TEXTS[name]
    assert "pull_request_target" not in TEXTS[name]
    assert ("github.token" in TEXTS[name]) == (name == "comment")


@pytest.mark.parametrize("name", WORKFLOWS)
def test_a_checkout_keeps_no_token(name):
    for step in steps(name):
        if step.get("uses", "").startswith("actions/checkout@"):
            assert step["with"]["persist-credentials"] is False
            assert "ref" not in step["with"] and "repository" not in step["with"]


def test_what_may_write_runs_nothing_of_the_pull_request():
    assert actions("comment") == ["actions/download-artifact", "actions/github-script"]
    assert all("run" not in step for step in steps("comment"))


@pytest.mark.parametrize("name", WORKFLOWS)
def test_no_text_of_a_stranger_becomes_code(name):
    for step in steps(name):
        assert "${{" not in step.get("run", "") + step.get("with", {}).get("script", "")
    assert set(re.findall(r"\$\{\{ *(.*?) *\}\}", TEXTS[name])) <= HARMLESS


def test_the_comment_takes_what_the_review_leaves():
    left = next(step["with"] for step in steps("review") if "upload-artifact" in step.get("uses", ""))
    taken = next(step["with"] for step in steps("comment") if "download-artifact" in step.get("uses", ""))
    assert left["name"] == taken["name"]
    run = next(step["run"] for step in steps("review") if "make --silent review" in step.get("run", ""))
    assert set(re.findall(r'> "\$FOLDER/([\w.]+)"', run)) == set(re.findall(r"review/([\w.]+)'", comment_script()))


# --- the script, in Node, against a GitHub that only notes what it is asked

GITHUB = """
const given = JSON.parse(require('fs').readFileSync(0, 'utf8'))
const calls = []
const note = (name) => async (what) => { calls.push([name, what]) }
const issues = { listComments: {}, updateComment: note('update'), createComment: note('create') }
const pulls = { listFiles: {}, get: async ({ pull_number }) => ({ data: { ...given.pull, number: pull_number } }) }
const paginate = async (what) => what === pulls.listFiles ? given.files : given.comments
const github = { rest: { issues, pulls }, paginate }
const context = { repo: { owner: 'o', repo: 'r' }, payload: { workflow_run: given.run } }
const core = { warning: (text) => calls.push(['warning', text]) }
const AsyncFunction = Object.getPrototypeOf(async () => {}).constructor
new AsyncFunction('github', 'context', 'core', 'require', given.script)(github, context, core, require)
  .then(() => console.log(JSON.stringify(calls)), (error) => console.log(JSON.stringify([['error', error.message]])))
"""
HEAD = {"sha": "a" * 40, "repo": {"full_name": "fork/r"}}
MARKER = "<!-- regbench review -->"


@pytest.fixture
def comment(tmp_path):
    def run(*, number="7\n", text="## Results\n", head=HEAD, comments=(), figures=(), conclusion="success"):
        folder = tmp_path / "review"
        folder.mkdir()
        (folder / "number").write_text(number, encoding="utf-8")
        (folder / "review.md").write_text(text, encoding="utf-8")
        given = {
            "script": comment_script(),
            "run": {"head_sha": "a" * 40, "head_repository": {"full_name": "fork/r"}, "conclusion": conclusion},
            "pull": {"head": head, "base": {"sha": "b" * 40, "repo": {"full_name": "o/r"}}},
            "comments": list(comments),
            "files": [{"filename": name, "status": status} for name, status in figures],
        }
        node = str(files("playwright") / "driver/node")
        command = [node, "-e", GITHUB]
        done = subprocess.run(
            command, input=json.dumps(given), cwd=tmp_path, capture_output=True, text=True, check=True, timeout=600
        )
        return json.loads(done.stdout)

    return run


def by(login, body, number):
    return {"user": {"login": login}, "body": body, "id": number}


def test_the_first_review_makes_a_comment(comment):
    [[name, what]] = comment()
    assert (name, what["issue_number"]) == ("create", 7)
    assert what["body"].startswith(f"{MARKER}\n<sub>Made by the code of {'a' * 40}.</sub>\n\n## Results\n")


def test_the_next_review_updates_it_and_nobody_elses(comment):
    comments = [
        by("stranger", f"{MARKER} mine", 1),
        by("github-actions[bot]", "another text", 2),
        by("github-actions[bot]", f"{MARKER}\nold", 3),
    ]
    [[name, what]] = comment(comments=comments)
    assert (name, what["comment_id"]) == ("update", 3)


@pytest.mark.parametrize(
    "head", [HEAD | {"sha": "b" * 40}, HEAD | {"repo": {"full_name": "o/r"}}, HEAD | {"repo": None}]
)
def test_a_pull_request_of_another_commit_gets_no_comment(comment, head):
    [[name, _]] = comment(head=head)
    assert name == "warning"


@pytest.mark.parametrize("number", ["", "0", "-1", "7; rm", "7e3", "../7", "1" * 30, "7\n8"])
def test_what_is_no_number_is_refused(comment, number):
    [[name, message]] = comment(number=number)
    assert name == "error" and "review/number" in message


def test_a_text_that_is_too_long_is_refused(comment):
    [[name, message]] = comment(text="x" * 60_001)
    assert name == "error" and "review/review.md" in message


REVIEW = r"""## Results compared with main (at 0123456789)

**2 rows changed; 1 of the differences is more than noise.** 3 rows unchanged.

- seeds: 0 to 4 → 0 to 9 (3 rows)

### digits\_comparison: test accuracy, higher is better

| row | before | difference [95 % interval] | what it is |
| --- | ---: | ---: | --- |
| kernel\_l2\_1e-3<br>kernel\_regularizer | 0.9 ± 0.01 (5) | -0.01 [-0.02, -0.003] | **worse** than none |

<details><summary>How to read this</summary>

- Figures are mean ± standard deviation.

</details>
"""

HOSTILE = [
    "@someone &#64;someone &commat;team @o/team",
    "#1 GH-1 o/r#1 &num;1 https://github.com/o/r/issues/1 0123456789abcdef0123456789abcdef01234567",
    "![x](https://evil.test/x.png) [x](https://evil.test) <https://evil.test> www.evil.test a@b.test",
    "[x]",
    "[x]: evil",
    "<img src=x> <a href=x>y</a> <!-- z --> <details><summary>@someone</summary>",
    "<details><summary>@someone [x](y)</summary>",
    "| a `@someone | b` @someone \\| <b> |",
    "| --- | --- |",
    "```\n@someone\n```",
    "    @someone",
    "> @someone",
    "- `` ` `` @someone",
    "### `@someone",
    "**@some`one** ** @x **",
    r"`a` \`@someone\` \\`@someone",
    "\u202e@someone\u0000\u200b@someone\r@someone\u2028@someone",
    "<script>alert(1)</script> :smile: $x$ $$y$$",
    "1. x\n===\n---\n***",
]


def rendered(body):
    """Tokens of a comment as Markdown with raw HTML and tables, one after the other."""
    tokens = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"]).parse(body)
    return [inner for token in tokens for inner in (token.children or [token])]


def test_a_review_reads_as_it_was_written(comment):
    [[_, what]] = comment(text=REVIEW)
    html = MarkdownIt("commonmark", {"html": True}).enable("table").render(what["body"])
    text = " ".join(re.sub(r"<[^>]*>", "", html).split())
    plain = re.sub(r"\\(.)|[*#|]|<[^>]*>|(?m:^- )|-{3,}:?", r"\1", REVIEW.replace(r"\_", "_"))
    assert [word for word in " ".join(plain.split()).split() if word not in text.split()] in (
        [],
        ["kernel_l2_1e-3kernel_regularizer"],
    )
    assert html.count("<tr>") == 2 and "<strong>worse</strong>" in html and "<h3>" in html
    assert "<summary>How to read this</summary>" in html and html.count("<li>") == 2


@pytest.mark.parametrize("text", [*HOSTILE, "\n".join(HOSTILE), " ".join(HOSTILE)])
def test_nothing_of_a_strangers_text_does_anything(comment, text):
    [[_, what]] = comment(text=text)
    tokens = rendered(what["body"].partition("</sub>")[2])
    assert not {"link_open", "image", "fence", "code_block", "blockquote_open"} & {token.type for token in tokens}
    shown = "".join(token.content for token in tokens if token.type == "text")
    assert not re.search(r"[@#&<>$`~_/]|://|www\.|[0-9a-f]{7,}|GH-\d|:\w+:", shown)
    html = [token.content for token in tokens if token.type in {"html_block", "html_inline"}]
    assert set("".join(html).split("\n")) <= {"", "</details>"}
    assert "\u202e" not in what["body"]


def test_a_failed_review_says_so(comment):
    [[_, what]] = comment(conclusion="failure", text="")
    assert "**The review failed: results are not up to date, or it could not be made.**" in what["body"]


def test_figures_are_shown_before_and_now(comment):
    figures = [
        ("results/figures/s/curves.svg", "modified"),
        ("results/figures/s/new.svg", "added"),
        ("results/figures/s/old.svg", "removed"),
        ("results/figures/s/x) ![y](z).svg", "added"),
        ("results/figures/../x.svg", "added"),
        ("README.md", "modified"),
    ]
    [[_, what]] = comment(figures=figures)
    base, head = f"https://github.com/o/r/raw/{'b' * 40}", f"https://github.com/fork/r/raw/{'a' * 40}"
    path = "results/figures/s"
    assert re.findall(r"!\[\w+\]\((.*?)\)", what["body"]) == [
        *(f"{base}/{path}/curves.svg", f"{head}/{path}/curves.svg", f"{head}/{path}/new.svg", f"{base}/{path}/old.svg"),
    ]


def test_a_comment_that_github_would_refuse_names_the_summary(comment):
    figures = [(f"results/figures/{'s' * 80}/{'f' * 78}{number:02}.svg", "modified") for number in range(99)]
    [[_, what]] = comment(text="a,b " * 14_000, figures=figures)
    assert len(what["body"]) < 65_536 and "is too long for a comment" in what["body"]
