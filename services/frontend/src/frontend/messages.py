"""What a visitor is told, by stage, outcome and error code; no other place words errors. Read by the pages.

The backend answers with a `code` that is stable and a `detail` that may say more. Each known code has a title and what
to do about it; an unknown code falls back to the backend's `detail`.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Message:
    """One problem in a visitor's words: what happened, and what to do now. `retry` offers the same file again."""

    title: str
    advice: str
    retry: bool = False


# Codes of refused uploads (the converter's), of the API, and those that only the browser can know (no answer came).
UPLOAD_MESSAGES: dict[str, Message] = {
    "empty_file": Message(
        "This file is empty", "It holds no bytes at all. Download the mod again, then drop the new file here."
    ),
    "not_a_zip": Message(
        "This is not a mod file",
        "A Java mod is a .jar file, which is a zip archive inside. "
        "Choose the .jar that you would put into the mods folder.",
    ),
    "truncated_zip": Message(
        "This file is incomplete", "Its end is missing, as after a broken download. Download the mod again and retry."
    ),
    "too_many_entries": Message(
        "This jar holds too many files", "It has more entries than any mod needs. Choose one mod, not a whole mod pack."
    ),
    "zip_bomb": Message(
        "This jar grows too large when unpacked",
        "Its contents are far larger than the file itself, which is how zip bombs look. "
        "Choose the original jar of the mod.",
    ),
    "unsafe_path": Message(
        "This jar holds an unsafe path",
        "One of its files would be written outside the archive's folder. Get the mod from its author's own page.",
    ),
    "symlink": Message(
        "This jar holds a symbolic link",
        "Links are refused because they could point anywhere. Get the mod from its author's own page.",
    ),
    "duplicate_names": Message(
        "This jar holds the same file twice",
        "Two entries have one name (or differ only in upper and lower case). Rebuild the jar, or get the original.",
    ),
    "encrypted": Message(
        "This jar is protected by a password", "Encrypted entries cannot be read. Choose a jar without a password."
    ),
    "no_mod_metadata": Message(
        "No mod was found in this jar",
        "It has no fabric.mod.json, mods.toml or neoforge.mods.toml. Choose a Fabric, Forge or NeoForge mod; "
        "libraries, plugins and resource packs cannot be converted.",
    ),
    "bad_metadata": Message(
        "The mod's description cannot be read",
        "Its metadata file is broken. Download the mod again; if that does not help, its author has to repair it.",
    ),
    "too_large": Message(
        "This file is too large",
        "A jar may have up to {max_upload_mb} MB. Choose a smaller one; a single mod rarely needs more.",
    ),
    "unexpected_field": Message(
        "The upload was not understood", "Exactly one file is expected. Reload this page and drop the jar again."
    ),
    "upload_interrupted": Message(
        "The file did not arrive completely", "The connection broke on the way. You can try again.", retry=True
    ),
    "idempotency_conflict": Message(
        "This upload was started with another file", "Choose the file again; it then starts afresh."
    ),
    "rate_limited": Message(
        "That was a little too fast", "Many uploads came from your address. Wait a minute, then try again.", retry=True
    ),
    "unavailable": Message(
        "The converter is not reachable right now",
        "It is restarting or under maintenance. Your file is still chosen here: try again in a moment.",
        retry=True,
    ),
    "network": Message(
        "The connection was lost",
        "The file did not arrive completely. Check your network; your file is still chosen here, so you can try again.",
        retry=True,
    ),
    "cancelled": Message("Upload cancelled", "Nothing was kept on the server.", retry=True),
    "folder": Message("That is a folder", "Drop the mod's .jar file itself, not the folder that it lies in."),
    "unreadable": Message(
        "Your browser could not read this file",
        "It was moved, renamed or changed after it was chosen. Choose it again.",
    ),
    "unknown": Message(
        "The upload was refused", "Something about this upload was not accepted. You can try again.", retry=True
    ),
}

_REFUSED_BY_GATE = Message(
    "The add-on did not pass validation",
    "It was built, but a check found errors in it, so it is not offered for download.",
)
# Codes with which a conversion that had been accepted ends as failed. Refusal codes may occur here too.
FAILURE_MESSAGES: dict[str, Message] = {
    "timed_out": Message(
        "The conversion took too long", "It was stopped so that others could go on. Try a smaller mod or version."
    ),
    "out_of_memory": Message("The conversion needed too much memory", "Try a smaller mod, or another version of it."),
    "disk_full": Message("The conversion needed too much space", "Try a smaller mod, or another version of it."),
    "gate_crossref": _REFUSED_BY_GATE,
    "gate_mojang": _REFUSED_BY_GATE,
    "converter_crashed": Message(
        "The converter broke on this mod", "That is our fault, not yours. Another version of the mod may work."
    ),
    "interrupted": Message("The conversion was interrupted too often", "Convert the file again in a moment."),
    "upload_missing": Message("The uploaded file is gone", "Upload it again."),
}

_FAILURE = Message("This mod could not be converted", "The reason is given below. Other mods are not affected.")

# Stages in the order in which a conversion passes them: (key, in a visitor's words).
STAGES: tuple[tuple[str, str], ...] = (
    ("queued", "Waiting for a free worker"),
    ("reading", "Reading the jar"),
    ("translating", "Translating its content"),
    ("assembling", "Assembling the add-on"),
    ("validating", "Checking it with two validators"),
    ("storing", "Storing the result"),
    ("done", "Done"),
)

# Outcomes of a ledger row, in the order in which they are shown: (key, what it means).
OUTCOMES: tuple[tuple[str, str], ...] = (
    ("converted", "works in Bedrock as it did in Java"),
    ("approximated", "carried over with a difference that the row names"),
    ("unsupported", "no counterpart in Bedrock, or not translated yet"),
    ("ignored", "not needed in an add-on"),
    ("error", "broken in the jar"),
)


def upload_messages(max_upload_mb: int) -> dict[str, Message]:
    """All upload messages with the size limit (MB) filled in."""
    return {
        code: Message(message.title, message.advice.format(max_upload_mb=max_upload_mb), message.retry)
        for code, message in UPLOAD_MESSAGES.items()
    }


def failure_message(code: str | None, max_upload_mb: int) -> Message:
    """The message for a failed conversion; any unknown code gets a general one (the page shows the detail as well)."""
    if code in FAILURE_MESSAGES:
        return FAILURE_MESSAGES[code]
    return upload_messages(max_upload_mb).get(code or "", _FAILURE)
