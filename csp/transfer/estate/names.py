"""Names of invented people, places and trades in many scripts, with a spelling in ASCII."""

# 1. Every script has first names and last names; each is (as written, in ASCII).
# 2. Arabic, Hebrew and Adlam run from right to left; Adlam, Gothic and some Han characters take
#    four bytes in UTF-8.
# 3. Combinations are made by chance: nobody is meant.

from __future__ import annotations

from typing import NamedTuple


class Script(NamedTuple):
    """Names in one script and how common they are in the estate."""

    weight: int
    first: tuple[tuple[str, str], ...]
    last: tuple[tuple[str, str], ...]


def _pairs(text: str) -> tuple[tuple[str, str], ...]:
    """ "Ann=ann Zoë=zoe" as pairs."""
    return tuple((left, right) for left, _, right in (p.partition("=") for p in text.split()))


SCRIPTS: tuple[Script, ...] = (
    Script(
        34,
        _pairs(
            "Ann=ann Ben=ben Clara=clara David=david Emma=emma Frank=frank Grace=grace Hugo=hugo "
            "Iris=iris Jonas=jonas Karin=karin Liam=liam Marta=marta Noel=noel Olga=olga Paul=paul"
        ),
        _pairs(
            "Archer=archer Baker=baker Carter=carter Dyer=dyer Fisher=fisher Fletcher=fletcher "
            "Glover=glover Hunter=hunter Mason=mason Miller=miller Potter=potter Sawyer=sawyer "
            "Tanner=tanner Turner=turner Walker=walker Weaver=weaver"
        ),
    ),
    Script(
        16,
        _pairs(
            "Zoë=zoe Jürgen=juergen Renée=renee Łukasz=lukasz Søren=soren Åsa=asa Ñusta=nusta "
            "Çağla=cagla Ștefan=stefan Ðorđe=dorde Žofie=zofie Inês=ines Réka=reka Þóra=thora"
        ),
        _pairs(
            "Müller=mueller Lefèvre=lefevre Wójcik=wojcik Sørensen=sorensen Åkerström=akerstrom "
            "Muñoz=munoz Yılmaz=yilmaz Popović=popovic Dvořák=dvorak Gonçalves=goncalves "
            "Kovács=kovacs Jónsdóttir=jonsdottir Nguyễn=nguyen"
        ),
    ),
    Script(
        10,
        _pairs("Анна=anna Иван=ivan Мария=maria Олег=oleg Їжак=yizhak Софія=sofiia Дмитро=dmytro"),
        _pairs("Кузнецова=kuznetsova Мельник=melnyk Гончар=honchar Ткаченко=tkachenko Рыбак=rybak"),
    ),
    Script(
        5,
        _pairs("Ελένη=eleni Νίκος=nikos Σοφία=sofia Γιώργος=giorgos"),
        _pairs("Παπαδάκης=papadakis Ράπτης=raptis Μυλωνάς=mylonas"),
    ),
    Script(
        8,
        _pairs("ليلى=layla أحمد=ahmad سارة=sara يوسف=yusuf نور=nour"),
        _pairs("الحداد=alhaddad النجار=alnajjar الخياط=alkhayyat الصياد=alsayyad"),
    ),
    Script(
        4,
        _pairs("נועה=noa דוד=david תמר=tamar אורי=ori"),
        _pairs("נגר=nagar חייט=hayat צורף=tsoref רופא=rofe"),
    ),
    Script(
        7,
        _pairs("आरती=aarti रोहन=rohan मीरा=meera अर्जुन=arjun"),
        _pairs("लोहार=lohar सुतार=sutar पटेल=patel जोशी=joshi"),
    ),
    Script(
        7,
        _pairs("伟=wei 芳=fang 敏=min 静=jing 磊=lei 娜=na"),
        _pairs("王=wang 李=li 张=zhang 刘=liu 陈=chen 赵=zhao"),
    ),
    Script(
        4,
        _pairs("さくら=sakura 健=ken 陽子=yoko 大輔=daisuke"),
        _pairs("𠮷野=yoshino 田中=tanaka 鈴木=suzuki 髙橋=takahashi"),
    ),
    Script(2, _pairs("지은=jieun 민수=minsu"), _pairs("김=kim 이=lee 박=park")),
    Script(1, _pairs("นภา=napha สมชาย=somchai"), _pairs("ช่างทอง=changthong ชาวนา=chaona")),
    Script(
        1, _pairs("ნინო=nino გიორგი=giorgi"), _pairs("მჭედლიძე=mchedlidze კალანდაძე=kalandadze")
    ),
    Script(1, _pairs("𞤀𞤣𞤤𞤢𞤥=adlam 𞤊𞤢𞤼𞤵=fatu"), _pairs("𞤄𞤢𞤤𞤣𞤫=balde 𞤔𞤢𞤤𞤮=jalo")),
)

SITES: tuple[str, ...] = (
    "Zürich", "København", "Łódź", "Αθήνα", "Київ", "القاهرة", "חיפה", "पुणे",
    "成都", "札幌", "부산", "เชียงใหม่", "თბილისი", "São Paulo", "Québec", "Nairobi",
    "𠮷祥寺", "Reykjavík", "Đà Nẵng", "Cork",
)  # fmt: skip

COMPANIES: tuple[str, ...] = (
    "Aurora Insurance", "Nordlicht Bank", "Océane Télécom", "Светлый Дом",
    "شركة النخيل", "חברת הגל", "सूर्य ऊर्जा", "东风物流", "さくら旅行", "한빛 전자",
    "Lumière Santé", "Köprü Lojistik", "Ελιά Τρόφιμα", "Rio Claro Energia",
    "Fjord Ferries", "Tide & Harbour", "𐌰𐌻𐌰 Heritage", "Ñandú Viajes",
    "Vltava Voda", "Kōwhai Homes",
)  # fmt: skip

SKILLS: tuple[str, ...] = (
    "English", "Deutsch", "Français", "Español", "Italiano", "Polski",
    "Русский", "Українська", "Ελληνικά", "العربية", "עברית", "हिन्दी", "中文",
    "日本語", "한국어", "ไทย", "Türkçe", "Português", "Sales", "Billing", "Claims",
    "Retention", "Collections", "Onboarding", "Technical L1", "Technical L2",
    "Fraud", "Complaints", "VIP ⭐", "Chat 💬", "E-mail ✉", "Outbound", "Returns",
    "Delivery 🚚", "Travel", "Medical",
)  # fmt: skip

TEAMS: tuple[str, ...] = (
    "Blue", "Vert", "Rot", "Жёлтая", "כחול", "أخضر", "白", "さくら", "Oak", "Birke",
    "Río", "Nord", "Süd", "🦉", "Ljus", "Zeta",
)  # fmt: skip

WORDS: tuple[str, ...] = (
    "queue", "timeout", "retry", "greeting", "route", "overflow", "priority",
    "window", "layout", "toolbar", "ringing", "autoanswer", "afterwork",
    "language", "recording", "survey", "callback", "voicemail", "transfer",
    "schedule",
)  # fmt: skip

PHRASES: tuple[str, ...] = (
    "true", "false", "enabled", "30", "after 20 s to the overflow queue",
    "Guten Tag, was darf ich", "Bonjour et bienvenue", "مرحبا بكم",
    "שלום וברכה", "नमस्ते", "您好，很高兴为您服务", "お電話ありがとうございます", "Здравствуйте",
    "please hold 🎵", "1,2,5,10,30", "top-left", "https://desk.example/help",
)  # fmt: skip
