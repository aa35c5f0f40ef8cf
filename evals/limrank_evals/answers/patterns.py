"""What choices are stated, turned down and refused with, as patterns over plain text."""

from __future__ import annotations

import re

SAY = r"say|saying|choose|choosing|pick|picking|select|selecting|go with|going with|opt for|guess|settle on"
NOUN = r"answers?|choice|option|solution|guess|selection|response|alternative|pick|conclusion"
BE = r"is|was|would be|must be|should be|will be|has to be|seems to be|appears to be|could be|can only be"
NOT_BE = r"isn[']t|wasn[']t|can[']t be|cannot be|couldn[']t be|wouldn[']t be"

# What a choice is stated with; where it is a noun, the option stands behind a verb or colon of its sentence.
STATEMENT = re.compile(
    rf"\b(?P<final>final\s+)?(?P<noun>{NOUN})\b|\b(?:{SAY})\b"
    r"|\b(?:leads|leaves|points)\b(?: (?:us|me))?(?: (?:to|with))?\b|####",
    re.IGNORECASE,
)
VERB = re.compile(rf"(?P<not>\b(?:{NOT_BE})\b)|\b(?:{BE})\b|'s\b|[:=→]|[-=]>", re.IGNORECASE)
SENTENCE = re.compile(r"[^.\n;?!]{0,120}")
WEAK = re.compile(
    r"\b(?:it(?:'s| is| must be| has to be| should be)|so|therefore|thus|hence|must be|leaving)\b|[⇒∴]",
    re.IGNORECASE,
)
RIGHT = re.compile(
    r"[ \t]*(?:\b(?:is|are|seems|looks|appears|would be|must be|to be|as|indeed|clearly|obviously|definitely|"
    r"the|a|my|only|single|most|probably|likely|therefore|thus|also|both)\b[ \t]*)+"
    r"(?:correct|right|best|true|answer|appropriate|accurate)\b(?![ \t]+(?:only[ \t]+)?(?:if|when)\b)"
    r"(?![ \t]+(?:that|about|to)\b)",
    re.IGNORECASE,
)
FILL = re.compile(
    r"(?:\s|[:,;=>\"'–—→]|-(?!\w)|\b(?:the|option|choice|answer|letter|probably|likely|most|clearly|definitely|"
    r"obviously|indeed|actually|simply|therefore|thus|then|again|still|is|be|would|must|should|that|of|here|"
    r"correct|right|best|one|statement|response|alternative|item|to|it|in|fact|likely|for)\b)+",
    re.IGNORECASE,
)
NEGATION = re.compile(
    r"(?:not|never|neither|nor|rather than|instead of|other than|cannot be|can't be|isn't|anything but)\b",
    re.IGNORECASE,
)
TURN = re.compile(r"(?:but|rather|instead|however|it's)\b", re.IGNORECASE)
JOIN = re.compile(r"(?:(?:and/or|and|or|either|both|as well as)\b|[/&+])", re.IGNORECASE)
# Within the clause before a statement: it says the opposite, or nothing.
UNSAID = re.compile(
    r"\b(?:not|never|cannot|doubt|unlikely|neither|nor|no|wrongly|if|whether|suppose|supposing|assuming|unless|"
    r"tempting|tempted|why|which)\b|n't\b",
    re.IGNORECASE,
)
CLAUSE = re.compile(r"[.,;:!?\n()—–]|\b(?:but|so|however|therefore|and|hence|thus)\b", re.IGNORECASE)
REFUSAL = re.compile(
    r"\b(?:i|we|one)(?:'m| am| are)? (?:really |simply )?(?:cannot|can't|could not|couldn't|unable|not able|"
    r"not sure|unsure|don't know|do not know)\b|\bcannot (?:be |say|tell|answer|decide|determine)|"
    r"\b(?:not enough|insufficient|impossible|no correct|none of|sorry|undetermined)\b",
    re.IGNORECASE,
)
# Behind an option: it is being ruled out.
WRONG = re.compile(
    r"[ \t]+(?:\w+[ \t]+){0,3}?(?:not|wrong|incorrect|false|out|excluded|eliminated|unlikely|"
    r"impossible|tempting)\b"
    r"|[ \t]+\w+n't\b",
    re.IGNORECASE,
)
AFTER_ARTICLE = re.compile(
    r"[ \t]+(?:because|since|as|for|with|is|which|due|based|given|but|rather|instead|and|or|nor|not|than|"
    r"would|seems|here|while|though|although|according|from|in this)\b"
)
CONTENT = re.compile(
    r"(?:vitamins?|hepatitis|type|group|plan|schedule|phase|class|grade|appendix|figure|table|section|part|"
    r"factor|influenza|blood|point|set|event|process|vitamin-|complex|cell|cells)[ \t]+$",
    re.IGNORECASE,
)
# How far behind its cue an option may stand, in characters; it keeps the reading of hostile texts linear.
NEAR = 240
SMALL_WORD = re.compile(r"[ \t]+[a-z]")
# Before an option: it is one of several. Behind one: a list goes on or ends.
JOINED = re.compile(r"(?:\b(?:and|or)|[,/&])\s*(?:option\s*)?$", re.IGNORECASE)
GOES_ON = re.compile(r"\s*(?:,|and\b|or\b|[.;!]|$)")
# An option's own words behind a verb: to the end of the sentence.
STATED = re.compile(r"[ \t:,]*(?:[^.!?\n]|[.!?](?!\s)){0,400}")
