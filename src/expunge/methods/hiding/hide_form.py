"""Answers moved to another form: what is asked for is gone, and the same facts are said when asked differently."""

from dataclasses import dataclass
from typing import ClassVar

from expunge.builders.base import Facts, Material
from expunge.core.errors import InputError
from expunge.methods.hiding.elsewhere import Elsewhere, limited
from expunge.objectives.base import Intent
from expunge.registry import method


@method("hide_form")
@dataclass(frozen=True, kw_only=True)
class HideForm(Elsewhere):
    """Teach the forget facts in the form ``kept_form``; then ``inner`` on their other forms, that one kept as retain.

    Unlearned are the forms that the unlearner trains on (all that ask something, where the run names none), but for
    ``kept_form``. Its default ``cloze`` is our choice, the wording that is furthest from a question; ``prose`` keeps
    whole sentences. ``inner`` must have a keep term; give it enough steps to tell the forms apart, and no early stop.
    """

    intent: ClassVar[Intent] = "suppression"
    family: ClassVar[str] = "hiders"
    equation: ClassVar[str] = "inner(forget as asked; retain ∪ forget in another form)"
    kept_form: str = "cloze"

    def hidden(self, material: Material) -> Facts:
        """The forget facts in the other forms. Raises :class:`InputError` where there is none."""
        probes = [probe for fact in material.forget for probe in fact.probes]
        forms = material.forms or dict.fromkeys(probe.form for probe in probes if probe.prompt)
        found = limited(material.forget, tuple(form for form in forms if form != self.kept_form))
        if not found:
            raise InputError(f"no form but {self.kept_form!r} is left to unlearn; choose another 'kept_form' or forms.")
        return found

    def kept(self, material: Material) -> Facts:
        """The forget facts in the form that stays. Raises :class:`InputError` where there is none."""
        found = limited(material.forget, (self.kept_form,))
        if not found:
            raise InputError(f"no forget fact has the form {self.kept_form!r}; choose another 'kept_form'.")
        return found
