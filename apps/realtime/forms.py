"""What a company fills in about its chat widgets."""

from typing import Any

from django import forms

from apps.realtime.widget_settings.contracts import (
    LANGUAGES,
    MAX_ADDRESS_RATE,
    MAX_VISITOR_RATE,
    TEXTS,
    WidgetSettings,
)
from apps.realtime.widget_settings.hours import clean_day
from apps.realtime.widget_settings.texts import read_texts

DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
LANGUAGE_NAMES = {"en": "English", "de": "German", "es": "Spanish", "fr": "French"}
LANGUAGE_CHOICES = [(code, LANGUAGE_NAMES[code]) for code in LANGUAGES]
LINES = forms.Textarea({"rows": 6, "spellcheck": "false", "class": "mono"})


class NewWidgetForm(forms.Form):
    name = forms.CharField(max_length=100, help_text="Where it will be, such as: Shop, Help pages.")


class VersionedForm(forms.Form):
    """Changes of what the editor saw as `version`."""

    version = forms.IntegerField(min_value=0, max_value=2**31 - 1, widget=forms.HiddenInput)


class SectionForm(VersionedForm):
    """A part of a widget's settings."""

    @classmethod
    def initial_of(cls, settings: WidgetSettings) -> dict[str, Any]:
        """Return what the form shows of the settings."""
        return {name: getattr(settings, name) for name in cls.base_fields if name != "version"}

    def changes(self) -> dict[str, Any]:
        """Return the settings that the form asks for."""
        return {name: value for name, value in self.cleaned_data.items() if name != "version"}


class LookForm(SectionForm):
    color = forms.CharField(label="Brand colour", max_length=9, widget=forms.TextInput({"type": "color"}))
    text_color = forms.ChoiceField(
        label="Text on it",
        choices=[("auto", "What can be read best"), ("light", "White"), ("dark", "Black")],
    )
    theme = forms.ChoiceField(
        label="Background",
        choices=[("auto", "As the visitor's system prefers"), ("light", "Light"), ("dark", "Dark")],
    )
    position = forms.ChoiceField(
        choices=[("right", "Bottom right"), ("left", "Bottom left")], widget=forms.RadioSelect
    )
    icon = forms.ChoiceField(
        choices=[("chat", "Speech bubble"), ("question", "Question mark"), ("smile", "Smile")],
        widget=forms.RadioSelect,
    )


class TextsForm(SectionForm):
    """Languages, and the company's own words in one of them."""

    languages = forms.MultipleChoiceField(
        label="Languages that you offer", choices=LANGUAGE_CHOICES, widget=forms.CheckboxSelectMultiple
    )
    default_language = forms.ChoiceField(
        label="For everybody else",
        choices=LANGUAGE_CHOICES,
        help_text="A visitor gets the page's language, then their browser's, if you offer it; else this one.",
    )
    title = forms.CharField(max_length=TEXTS["title"], required=False)
    launcher = forms.CharField(label="Words on the button", max_length=TEXTS["launcher"], required=False)
    greeting = forms.CharField(
        max_length=TEXTS["greeting"], required=False, widget=forms.Textarea({"rows": 3})
    )
    placeholder = forms.CharField(
        label="In the empty message box", max_length=TEXTS["placeholder"], required=False
    )
    prechat = forms.CharField(label="Above the pre-chat form", max_length=TEXTS["prechat"], required=False)
    away = forms.CharField(
        label="Above the form for messages outside of hours",
        max_length=TEXTS["away"],
        required=False,
        widget=forms.Textarea({"rows": 2}),
    )
    consent = forms.CharField(
        label="Consent to be ticked",
        max_length=TEXTS["consent"],
        required=False,
        widget=forms.Textarea({"rows": 2}),
    )

    def __init__(self, *args: Any, language: str, **options: Any) -> None:
        super().__init__(*args, **options)
        self.language = language
        for name in TEXTS:
            self.fields[name].widget.attrs["placeholder"] = read_texts()[language][name]

    @classmethod
    def initial_in(cls, settings: WidgetSettings, language: str) -> dict[str, Any]:
        """Return what the form shows of the settings in one language."""
        own = settings.texts.get(language, {})
        languages = {"languages": settings.languages, "default_language": settings.default_language}
        return {**languages, **{name: own.get(name, "") for name in TEXTS}}

    def changes(self) -> dict[str, Any]:
        given = self.cleaned_data
        languages = {name: given[name] for name in ("languages", "default_language")}
        return {**languages, "texts": {self.language: {name: given[name] for name in TEXTS}}}


class GeneralForm(VersionedForm):
    name = forms.CharField(max_length=100)
    allowed_origins = forms.CharField(
        label="Domains that may show the widget",
        required=False,
        max_length=20_000,
        widget=LINES,
        help_text="One a line, such as https://shop.example, or *.shop.example for its subdomains. Your own "
        "proven domains may always show it. Leave it empty and every website may.",
    )

    def changes(self) -> dict[str, Any]:
        """Return the fields of the widget key that the form asks for."""
        given = self.cleaned_data
        return {"name": given["name"], "allowed_origins": given["allowed_origins"].splitlines()}


class HoursForm(SectionForm):
    has_hours = forms.BooleanField(label="The team keeps opening hours", required=False)
    monday = forms.CharField(max_length=100, required=False)
    tuesday = forms.CharField(max_length=100, required=False)
    wednesday = forms.CharField(max_length=100, required=False)
    thursday = forms.CharField(max_length=100, required=False)
    friday = forms.CharField(max_length=100, required=False)
    saturday = forms.CharField(max_length=100, required=False)
    sunday = forms.CharField(max_length=100, required=False)
    closed_dates = forms.CharField(
        label="Closed on",
        max_length=3000,
        required=False,
        widget=LINES,
        help_text="Holidays, one a line, such as 2026-12-25.",
    )
    outside_hours = forms.ChoiceField(
        label="Outside of these hours",
        choices=[
            ("answer", "The AI answers as always"),
            ("handover", "The AI answers; when it calls for a person it says when the team is back"),
            ("form", "Visitors leave a message, which becomes a lead"),
        ],
        widget=forms.RadioSelect,
    )

    @classmethod
    def initial_of(cls, settings: WidgetSettings) -> dict[str, Any]:
        return {
            "has_hours": settings.has_hours,
            "outside_hours": settings.outside_hours,
            "closed_dates": "\n".join(settings.closed_dates),
            **dict(zip(DAYS, settings.hours, strict=True)),
        }

    def clean(self) -> None:
        for day in DAYS:
            try:
                self.cleaned_data[day] = clean_day(self.cleaned_data.get(day, ""))
            except ValueError as error:
                self.add_error(day, str(error))

    def changes(self) -> dict[str, Any]:
        given = self.cleaned_data
        return {
            "has_hours": given["has_hours"],
            "outside_hours": given["outside_hours"],
            "closed_dates": given["closed_dates"].splitlines(),
            "hours": [given[day] for day in DAYS],
        }


class VisitorFormsForm(SectionForm):
    prechat = forms.ChoiceField(
        label="Before the first message",
        choices=[
            ("off", "Ask nothing"),
            ("name", "Ask for a name"),
            ("name_email", "Ask for a name and an email address"),
        ],
        widget=forms.RadioSelect,
        help_text="Customers whom your website signs in are never asked.",
    )
    required = forms.MultipleChoiceField(
        label="Needed to go on",
        choices=[("name", "Name"), ("email", "Email address")],
        required=False,
        widget=forms.CheckboxSelectMultiple,
    )
    ask_consent = forms.BooleanField(
        label="Ask for consent to keep what is filled in",
        required=False,
        help_text="The words are among the texts; also asked above messages outside of hours.",
    )
    rating = forms.BooleanField(label="Ask how it went", required=False)
    rating_comment = forms.BooleanField(label="Ask for a comment with the rating", required=False)


class LimitsForm(SectionForm):
    """How much is taken from visitors in a minute; what is more is refused with when to try again."""

    messages_per_minute = forms.IntegerField(
        label="Messages a minute of one visitor", min_value=1, max_value=MAX_VISITOR_RATE
    )
    address_messages_per_minute = forms.IntegerField(
        label="Messages a minute from one network address",
        min_value=1,
        max_value=MAX_ADDRESS_RATE,
        help_text="A whole office or mobile network may share one address.",
    )
    address_openings_per_minute = forms.IntegerField(
        label="New conversations a minute from one network address",
        min_value=1,
        max_value=MAX_ADDRESS_RATE,
    )


class RotateSecretForm(forms.Form):
    secret_version = forms.IntegerField(min_value=0, max_value=2**31 - 1, widget=forms.HiddenInput)
    overlap_s = forms.TypedChoiceField(
        label="The old secret signs for",
        coerce=int,
        choices=[(3600, "One hour"), (86_400, "One day"), (604_800, "Seven days"), (0, "Not a moment more")],
        initial=86_400,
    )
