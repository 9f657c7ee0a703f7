"""What a new company's knowledge begins with, so that the first question has an answer to cite."""

SAMPLES: list[tuple[str, str]] = [
    (
        "Welcome to your assistant",
        "Your assistant answers customers from the documents in your knowledge, and it cites the "
        "passages that it used. When it finds no passage that answers a question, it says so and "
        "offers to bring in a person. You can replace this sample article with your own at any time.",
    ),
    (
        "How to add your own knowledge",
        "Open Knowledge in the menu and drop files onto the page: PDF, Word, PowerPoint, Excel, "
        "Markdown, HTML and plain text are read. You can also give the address of a web page or write "
        "an article yourself. A document is ready to be cited a few seconds after it was uploaded.",
    ),
    (
        "How to put the chat on your website",
        "Copy the script tag from Channels and paste it before the closing body tag of your pages. "
        "The chat button appears in the corner of every page that holds the tag. Under allowed "
        "domains you choose the websites that may use your widget key; an empty list admits all of "
        "them.",
    ),
]
SAMPLE_TITLES = [title for title, _ in SAMPLES]
