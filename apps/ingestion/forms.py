"""What a member gives to the knowledge."""

from typing import Any

from django import forms

from apps.ingestion.contracts import DocumentStatus, UploadedFile
from apps.ingestion.intake import MAX_TITLE_CHARS, MAX_URL_CHARS

READABLE = ".txt,.md,.html,.htm,.pdf,.docx,.csv,.xlsx,.pptx"
STATES = [
    ("", "All"),
    ("working", "Being processed"),
    (DocumentStatus.READY.value, "Ready"),
    (DocumentStatus.FAILED.value, "Failed"),
]


class FileForm(forms.Form):
    file = forms.FileField(
        label="Files",
        allow_empty_file=True,
        max_length=255,
        widget=forms.FileInput({"accept": READABLE}),
        help_text="PDF, Word, PowerPoint, Excel, CSV, Markdown, HTML or plain text; 20 MB at most.",
    )

    def uploads(self, request: Any) -> list[UploadedFile]:
        """Return every file that was sent under this name."""
        return [UploadedFile(file.name or "", file.read()) for file in request.FILES.getlist("file")]


class AddressForm(forms.Form):
    url = forms.CharField(
        label="Web address",
        max_length=MAX_URL_CHARS,
        widget=forms.URLInput({"placeholder": "https://example.com/help"}),
    )


class ArticleForm(forms.Form):
    title = forms.CharField(max_length=MAX_TITLE_CHARS, help_text="Shown as the source of answers.")
    text = forms.CharField(
        max_length=500_000, widget=forms.Textarea({"rows": 10}), help_text="Plain text or Markdown."
    )


class DocumentFilter(forms.Form):
    q = forms.CharField(
        label="Title", required=False, max_length=200, widget=forms.TextInput({"type": "search"})
    )
    status = forms.ChoiceField(choices=STATES, required=False)


class SearchForm(forms.Form):
    query = forms.CharField(
        label="What would a customer ask?", max_length=2000, widget=forms.TextInput({"type": "search"})
    )
