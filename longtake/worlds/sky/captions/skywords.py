"""What people call clouds, wind and weather; the notation is that of `phrases`."""

from __future__ import annotations

COVER = """
[cover=clear value]
none; zero; no; nil; absent; 0; no clouds; clear; cloudless; none at all; not any
[cover=partly value]
some; a few; half; medium; partial; moderate; few; partly cloudy; scattered; broken; several
[cover=overcast value]
full; total; many; complete; maximum; everywhere; lots; overcast; cloudy; 100%; dense; very cloudy
all
[cover=clear sky]
a clear sky; clear skies; a cloudless sky; cloudless skies; an empty sky
a blue sky | time~morning/noon/afternoon; blue skies | time~morning/noon/afternoon
a clear blue sky | time~morning/noon/afternoon; nothing but blue sky | time~morning/noon/afternoon
blue sky everywhere | time~morning/noon/afternoon; no clouds; not a single cloud; not a cloud
zero clouds; hardly any clouds; almost no clouds; virtually no cloud; not one cloud; a spotless sky
an unclouded sky; a cloud-free sky; a bare sky; a flawless sky
pure blue above | time~morning/noon/afternoon; a sky without clouds; a sky with no clouds
a sky free of clouds; no cloud at all; scarcely a cloud; barely a cloud; a pristine sky
an immaculate sky; unbroken blue | time~morning/noon/afternoon
a deep blue sky | time~morning/noon/afternoon; an azure sky | time~morning/noon/afternoon
perfectly clear skies; crystal clear sky; crystal-clear skies; a totally clear sky
an open clear sky; zero cloud cover; no cloud cover; 0% clouds; fair clear skies
an unobstructed sky; an utterly clear sky; a sky empty of clouds; clear heavens; an empty heaven
nothing overhead; a clean sky; a big clear sky; cloudless heavens; next to no clouds; clear weather
cloudlessness; a wide clear sky; no cloud anywhere
a completely blue sky | time~morning/noon/afternoon; a cerulean sky | time~morning/noon/afternoon
a blank sky; zero oktas; SKC; a vast cloudless dome; an unblemished sky; a sky swept clean
a sky with hardly a cloud; almost cloudless sky; very few clouds if any
[cover=clear skyadj]
clear; cloudless; cloud-free; unclouded; empty; bare; spotless
clear blue | time~morning/noon/afternoon; perfectly clear; wide-open clear; crystal clear; clean
pure blue | time~morning/noon/afternoon; totally clear; completely cloudless
azure | time~morning/noon/afternoon; flawless; pristine; immaculate
[cover=clear skysays]
the sky is clear; there is not a cloud in the sky; there are no clouds
there isn't a cloud to be seen; no clouds in sight; not a cloud in sight; the sky is empty
nothing overhead but blue | time~morning/noon/afternoon
the sky is perfectly blue | time~morning/noon/afternoon
the sky is blue | time~morning/noon/afternoon; skies are clear; the skies are cloudless
no cloud disturbs the sky; it is perfectly clear; there is no cloud cover; the clouds have all gone
the sky is swept clean; the heavens are clear; you cannot find a cloud; not a cloud anywhere
all clear above; the sky has no clouds; the sky is free of clouds; without a cloud in the sky
without any clouds; without clouds; with no clouds; with nothing in the sky
the sky is completely clear; no trace of cloud; not even a wisp of cloud; the clouds are gone
the clouds have cleared away; never a cloud; I don't want any clouds; please no clouds
hardly a cloud in the sky; scarcely a cloud to be seen; the sky stays clear; it is not cloudy
not cloudy at all; there is hardly any cloud; you can see the whole sky, no clouds
[cover=partly quant]
scattered; broken; some; a few; several; patches of; occasional; a handful of; isolated
drifting patches of; a sprinkling of; a smattering of; passing; here and there some; some scattered
islands of; loose; a scattering of; a moderate amount of; half a sky of; patchy; a couple of
a number of; sparse; clusters of; an assortment of; a medley of; a fair number of; a little herd of
dotted
[cover=partly sky]
few clouds; fewish clouds; only some cloud; clouds, but not many; some white clouds
a partly cloudy sky; partly cloudy skies; a half-clouded sky; broken cloud; scattered cloud
a sky dotted with clouds; a sky flecked with cloud; patchy cloud; partial cloud cover; sunny spells
sunny intervals; sun and clouds; a mix of sun and cloud; a patchwork of blue and white
blue sky with some clouds; blue sky with clouds; blue sky and clouds; fifty percent cloud
half the sky clouded; a few clouds; some clouds; several clouds; a changeable sky
a sky half blue and half white; gaps between the clouds; intermittent clouds
a partially clouded sky; a partly clouded sky; a sky with some clouds; a sky with a few clouds
blue patches between the clouds; blue gaps; holes in the clouds; medium cloud cover; mixed skies
sun peeking through clouds; sun breaking through the clouds; a mottled sky; a dappled sky
a piebald sky; breaks in the cloud; a sky speckled with clouds; four oktas; sct clouds; bkn sky
a moderately cloudy sky; clouds here and there; passing clouds; sunny with some clouds
sunny with a few clouds; mostly sunny with some clouds; clear sky with some clouds
clouds with blue between; a half-covered sky; intermittent sunshine; occasional clouds
clouds dotted about; sun and cloud in equal parts; bright spells; sunshine and clouds
semi-cloudy sky
[cover=partly skyadj]
partly cloudy; half-clouded; partially cloudy; dappled; patchy; mottled; half-overcast; cloud-dotted
cloud-flecked; variably cloudy; moderately cloudy; part-cloudy; semi-overcast; half-cloudy
cloud-dappled; speckled
[cover=partly skysays]
clouds dot the sky; the sky is partly cloudy; it is partly cloudy
the sun comes and goes between clouds; clouds cover about half the sky; half the sky is covered
there are a few clouds; there are some clouds in the sky; some clouds float about
blue shows between the clouds; the cloud is broken; the clouds leave gaps of blue
sunlight breaks through gaps in the clouds; sun breaks through; the clouds have holes in them
a few clouds are scattered about; several clouds wander the sky; clouds come and go
the sky is dotted with clouds; the sky is half covered with clouds; it's half cloudy, half blue
the clouds are scattered; sunbeams fall through breaks in the clouds; part of the sky is clouded
a handful of clouds hang about; the sky is only partly covered; clouds are sparse
the sun plays hide and seek with the clouds; there's some cloud about; a few clouds cross the sky
a few clouds hang overhead; small clouds spot the sky
[cover=overcast quant]
unbroken; solid; dense; a thick blanket of; a lid of; a blanket of; wall-to-wall; heavy
a ceiling of; thick; an unbroken layer of; a solid deck of; continuous; all-covering; a roof of
endless; a full cover of; a shroud of; a pall of; a grey mass of; a quilt of; an expanse of grey
total; complete; sky-filling; uninterrupted; seamless; closed; low grey; dull grey; low thick
[cover=overcast sky]
an overcast sky; overcast skies; a grey sky; gray skies; grey skies; a leaden sky; full cloud cover
a covered sky; a completely clouded sky; a heavy sky; a dull sky; a white sky; a closed sky
overcast; complete overcast; total cloud cover; a low grey ceiling; a sunless sky
a gray blanket overhead; a uniformly grey sky; a slate-grey sky; a murky grey sky; a dreary sky
a drab sky; one hundred percent cloud; an all-grey sky; thick cloud; dense cloud; solid cloud
heavy cloud; heavy cloud cover; heavy overcast; thick overcast; a cloudy sky; cloudy skies
a fully clouded sky; a cloud-covered sky; a lid of cloud; an oppressive sky; a lowering sky
eight oktas; OVC; no blue at all; no sun; no gaps in the cloud; no sunlight; no blue sky
gloomy skies; sombre skies; a gloomy sky; a somber sky; a brooding sky; a sullen sky; pewter skies
a gunmetal sky; a steel-grey sky; an ashen sky; a sky like lead; a sky of lead
a sky the colour of slate; grey overhead; gray everywhere; unbroken cloud; wall-to-wall cloud
a ceiling of cloud; a totally cloudy sky; dull grey weather; a milky white sky; a blanketed sky
grey gloom; gray gloom; a colourless sky; cloud from one end of the sky to the other
a smothered sky; complete cloud cover; a sky full of cloud; dull weather; continuous cloud
cloudy weather; a cloud-filled sky; a thickly clouded sky; a grim grey sky; a mostly cloudy sky
maximum cloud
[cover=overcast skyadj]
overcast; grey; gray; leaden; sunless; dull; gloomy; cloud-covered; heavily clouded; slate-grey
dreary; drab; completely cloudy; fully overcast; clouded-over; totally grey; cloudy; murky grey
ashen; steel-grey; sombre; all-grey; densely clouded; thickly overcast; lowering; pewter; bleak grey
dismal grey; lead-coloured
[cover=overcast skysays]
the sky is overcast; the sky is grey; the sky is gray; it is overcast; clouds cover the whole sky
clouds cover everything; clouds fill the sky; the sun is hidden behind cloud; no blue is left
not a patch of blue; the sky is completely covered; grey cloud hangs over everything
the clouds have closed over; the cloud is unbroken; it is grey and dull; there is no sun
the sun is nowhere to be seen; the sun doesn't come out; the sky is entirely clouded
clouds block the sun; the sun never shows; cloud as far as you can see
the sky is a single grey sheet; there is no gap in the clouds; no sun gets through
the whole sky is cloud; the sky is smothered; cloud blankets the sky; everything above is grey
the sky is covered in clouds; the sky is full of clouds; the sky hangs low and grey; it's a grey day
it is very cloudy; it's cloudy; it's totally cloudy; there's no blue anywhere; you can't see the sun
the sky presses down grey; the sun cannot break through; the clouds swallow all the light
the heavens are shut; cloud stretches unbroken from end to end; the sky is one big cloud
the clouds hide the sky; clouds shut out the sun; it is dull; grey covers all
"""

KIND = """
[kind=wispy kadj]
wispy; feathery; thin; streaky; high thin; hair-like; gauzy; silky; thready; fibrous; filmy
delicate; thin high; stringy; icy; wisp-like; featherlike; threadlike; faint wispy; combed-out
tenuous; diaphanous; high icy; flimsy; sparse wispy; gossamer; brush-stroke; high-altitude; fine
[kind=wispy knoun]
cirrus; cirrus clouds; wisps of cloud; wisps; mares' tails; streaks of cloud; feathery clouds
cirrus streaks; threads of cloud; thin high clouds; thin clouds; strands of cloud; feathers of cloud
tendrils of cloud; wispy clouds; veils of cirrus; high cirrus; ice clouds; cirrus uncinus
cirrus fibratus; ribbons of thin cloud; whiskers of cloud; filaments of cloud; cirri
streamers of high cloud; thin streaks; strokes of white; candy-floss threads of cloud; lacy clouds
gossamer clouds; hair-thin clouds; hooks of cirrus; plumes of ice cloud; thin scratches of cloud
cobweb clouds; brushed clouds; fine strands of white; horsetails in the sky; slivers of cloud
vapour trails of cloud; smears of high cloud
[kind=puffy kadj]
puffy; fluffy; cotton-wool; cottony; cauliflower; billowy; billowing; plump; round; rounded; woolly
white puffy; white fluffy; cotton-candy; marshmallow; fat; heaped; soft round; chubby; popcorn
cotton-ball; pillowy; whipped-cream; bulging; bubbly; big fluffy; fleecy; lumpy white; bouncy
fair-weather; swollen white; cotton; snowball; dumpling-shaped; sheep-like; plush; bulbous; heap
[kind=puffy knoun]
cumulus; cumulus clouds; cotton wool clouds; puffs of cloud; puffs; fair-weather cumulus
cotton balls; heaps of white cloud; fluffy clouds; woolly clouds; sheep-like clouds; puffy clouds
billowing clouds; cumuli; tufts of cloud; balls of cotton; heap clouds; cumulus humilis
cumulus mediocris; white cumulus; dumplings of cloud; pillows of cloud; cloud puffs
cauliflower clouds; mounds of white; cotton clouds; marshmallow clouds; little white puffs
flocks of woolly cloud; Simpsons clouds; big white clouds; summer cumulus; white heaps
castles of white cloud; white billows; fleece; popcorn clouds; whipped cream clouds
fluffy white things; balls of white; cumulus congestus; woolpacks
[kind=layered kadj]
layered; flat; stratified; sheet-like; banded; low flat; featureless; striped; spread-out; even
stratiform; blanket-like; horizontal; smooth; uniform; flat-bottomed sheet; slab-like; stacked
tiered; laminated; extended flat; level; terraced; wide flat; undifferentiated; plate-like
long flat; lined-up
[kind=layered knoun]
stratus; stratus clouds; layers of cloud; sheets of cloud; bands of cloud; altostratus
stratocumulus; a sheet of cloud; flat layers; stratiform cloud; rolls of cloud; cloud layers
a stratus layer; flat clouds; strips of cloud; cloud bands; layer clouds; a flat deck of cloud
strata; strata of cloud; slabs of cloud; stripes of cloud; stratus sheets; a deck of stratus
a cloud deck; tiers of cloud; undulating layers; bars of cloud; shelves of flat cloud
stratus nebulosus; a smooth sheet; a low layer; flat sheets; plates of cloud
stacked layers of cloud; sheet cloud; folds of layered cloud; nimbostratus | weather~rain
[kind=stormy cover~overcast kadj]
stormy; dark; towering dark; threatening; menacing; ominous; thundery; black; storm; angry
rain-heavy; brooding; anvil-shaped; bruised; inky; dark stormy; heavy dark; massive dark; looming
turbulent; roiling; boiling; wrathful; evil-looking; purple-black; dark swollen; forbidding
apocalyptic; churning; foreboding; sinister; billowing black; seething; scary dark; black and blue
dramatic dark; violent
[kind=stormy cover~overcast knoun]
cumulonimbus; thunderclouds; thunderheads; storm clouds; stormclouds; dark clouds; anvil clouds
a storm cell; a supercell; black clouds; thunderhead; a thundercloud; rain-swollen clouds
a shelf cloud; cumulonimbus clouds; a squall line; a wall of black cloud; towers of dark cloud
an anvil; stormheads; dark towers of cloud; mammatus; black thunderheads; cumulonimbus capillatus
cb clouds; menacing clouds; brewing storm clouds; ominous clouds; a dark wall of cloud
clouds black as ink; nimbus; dark rolling clouds; mountainous dark clouds; clouds heavy with thunder
storm towers; angry clouds; clouds like bruises
"""

WIND = """
[wind=right value]
right; rightwards; to the right; from the west; left to right; rightward; from left; westerly
[wind=left value]
left; leftwards; to the left; from the east; right to left; leftward; from right; easterly
[wind=right dir]
off the left; off the left-hand side; in from the west; off the west; off to the east
over from the left; out of the left; away from the left; toward the right-hand edge
away to the east; in the direction of the east; the way of the right; rightwards across the sky
to the right of the frame; to the right; rightwards; rightward; towards the right; toward the right
from left to right; left to right; from the left; in from the left; to the right-hand side; right
eastward; eastwards; to the east; towards the east; from the west; from west to east
out of the west; off to the right; to screen right; toward the right edge; out of frame right
towards the right side of the picture; from the left side; to the east side; heading east; east
in an easterly direction; from the left to the right; across from left to right
rightwards across the frame; to frame right; into the right of the shot; to the right of the image
toward the east; due east; from the left-hand side to the right; bound for the east; west to east
from southwest to northeast; from the north-west; out of the southwest; to the north-east
towards the south-east; from the left edge; away to the right; over to the right; going right
exiting on the right; entering from the left; in a left-to-right direction; L to R; from L to R
past us from left to right; with the wind, to the right; eastbound; to the righthand side
along to the right; toward screen right; to camera right; into the east; from the left of the frame
left-to-right; ever to the right; ever eastward; straight right; further right
toward the right border
[wind=right windnp]
a west wind; a westerly wind; a westerly; a westerly breeze; wind from the left
a wind from the west; wind to the right; a wind blowing right; wind out of the west
a rightward wind; a wind toward the east; an eastward breeze; winds from the west
a left-to-right breeze; a breeze from the left; prevailing westerlies; west winds; wind W; wind 270
a south-westerly; a north-westerly; a west-northwest breeze; wind coming from the left side
the westerlies; westerly winds; westerly flow; air flowing to the right; a draught from the left
zephyrs out of the west; a wind pushing right; wind westerly; SW wind; NW wind; WSW wind
a current of air to the right; a wind off the left side; a wind headed east; the west wind
wind direction right; wind direction: from the west; a westerly airflow; 260 degrees wind
wind coming out of the left; a wind from the left-hand side
[wind=right key]
wind right; clouds moving right; drift right; left to right; moving rightward; clouds to the right
wind direction: right; motion: right; west-to-east flow; rightward drift; clouds going right
wind towards right; right-moving clouds; clouds left to right; L→R; L->R; L > R; L->R clouds
→ drift; wind →; rightward motion; moves right; direction right; heading right; L-R
movement to the right; rightbound clouds; pan of clouds to the right; cloud motion: left to right
wind: right; westerly; eastward motion; sky moving right; flow to the right
[wind=left dir]
off the right; off the right-hand side; in from the east; off the east; off to the west
over from the right; out of the right; away from the right; toward the left-hand edge
away to the west; in the direction of the west; the way of the left; leftwards across the sky
to the left of the frame; to the left; leftwards; leftward; towards the left; toward the left
from right to left; right to left; from the right; in from the right; to the left-hand side; left
westward; westwards; to the west; towards the west; from the east; from east to west
out of the east; off to the left; to screen left; toward the left edge; out of frame left
towards the left side of the picture; from the right side; to the west side; heading west; west
in a westerly direction; from the right to the left; across from right to left
leftwards across the frame; to frame left; into the left of the shot; to the left of the image
toward the west; due west; from the right-hand side to the left; bound for the west; east to west
from southeast to northwest; from the north-east; out of the southeast; to the north-west
towards the south-west; from the right edge; away to the left; over to the left; going left
exiting on the left; entering from the right; in a right-to-left direction; R to L; from R to L
past us from right to left; with the wind, to the left; westbound; to the lefthand side
along to the left; toward screen left; to camera left; into the west; from the right of the frame
right-to-left; ever to the left; ever westward; straight left; further left; toward the left border
[wind=left windnp]
an east wind; an easterly wind; an easterly; an easterly breeze; wind from the right
a wind from the east; wind to the left; a wind blowing left; wind out of the east; a leftward wind
a wind toward the west; a westward breeze; winds from the east; a right-to-left breeze
a breeze from the right; prevailing easterlies; east winds; wind E; wind 090; a south-easterly
a north-easterly; an east-northeast breeze; wind coming from the right side; the easterlies
easterly winds; easterly flow; air flowing to the left; a draught from the right
zephyrs out of the east; a wind pushing left; wind easterly; SE wind; NE wind; ENE wind
a current of air to the left; a wind off the right side; a wind headed west; the east wind
wind direction left; wind direction: from the east; an easterly airflow; 100 degrees wind
wind coming out of the right; a wind from the right-hand side
[wind=left key]
wind left; clouds moving left; drift left; right to left; moving leftward; clouds to the left
wind direction: left; motion: left; east-to-west flow; leftward drift; clouds going left
wind towards left; left-moving clouds; clouds right to left; R→L; R->L; R > L; R->L clouds; ← drift
wind ←; leftward motion; moves left; direction left; heading left; R-L; movement to the left
leftbound clouds; pan of clouds to the left; cloud motion: right to left; wind: left; easterly
westward motion; sky moving left; flow to the left
"""

SPEED = """
[speed=slow value]
slow; low; light; weak; calm; gentle; none; very slow; minimal; zero; almost still
[speed=moderate value]
moderate; medium; average; normal; steady
[speed=fast value]
fast; high; strong; quick; very fast; maximum; rapid; stormy; brisk
[speed=slow sadv]
slowly; lazily; gently; leisurely; almost imperceptibly; very slowly; sluggishly; at a crawl
unhurriedly; barely; softly; languidly; in no hurry; ever so slowly; lethargically
at a snail's pace; inch by inch; quietly; dreamily; without haste; slow as honey; sedately; slow
at low speed; calmly; gradually; scarcely; serenely; in slow motion; peacefully; ponderously
taking their time
[speed=slow sverb]
creep; inch; crawl; linger; hang; hover; barely move; hardly move; idle; amble; dawdle; loiter
scarcely move; doze; stand almost still; laze; loll; meander; saunter; ooze
[speed=slow windnp]
a gentle breeze; a light breeze; a soft breeze; a faint breeze; a light wind; hardly any wind
a whisper of wind; a mild breeze; calm air; still air; a calm; no wind; barely a breath of wind
a lazy wind; almost no wind; a weak wind; light airs; a zephyr; a slight breeze
not a breath of wind; not a breath of air; little wind; no breeze; motionless air; a soft wind
dead calm; a sigh of wind; a breath of air; slack winds; feeble wind; wind calm; wind force 1
a tender breeze; low wind; a dead-still air; scarcely any wind; a barely-there breeze
a hint of a breeze; zero wind; slow wind; light winds
[speed=slow says]
the wind is still; still wind; wind still; the night is still; the air hangs still; a still day
a still evening | time=dusk; a still night | time=night; a still morning | time=morning
no breeze at all; scarcely moving clouds; the air is motionless; wind-still; not windy
not much wind; nothing blows; there is no wind; the air is still; nothing stirs
the clouds hardly move; the clouds barely move; it is windless; the wind is calm
not a breath of wind; the clouds drift so slowly you hardly notice; the air does not move
the wind has died; the wind has dropped; without wind; without any wind; with no wind at all
everything is still; not a leaf moves; the clouds hang motionless; the wind is asleep
the clouds are in no hurry; the clouds take their time; the wind is light; the air is calm
no wind blows; windless; the weather is calm; it isn't windy; it is not windy
the wind holds its breath; the clouds look frozen; clouds almost at a standstill; slow clouds
slow-moving clouds; low wind speed; wind speed: slow; clouds move slow; the flags hang limp
smoke rises straight up; cloud motion slow; the sky barely shifts; nothing moves
[speed=moderate sadv]
steadily; at a steady pace; moderately; at an easy pace; evenly; at a moderate speed
at a walking pace; smoothly and steadily; at medium speed; at a normal speed; neither fast nor slow
constantly; at an even pace; with moderate speed; at an average pace; neither slowly nor quickly
at a regular pace; in steady motion; not too fast
[speed=moderate sverb]
move along; travel steadily; move at an even pace; flow steadily; drift steadily
[speed=moderate windnp]
a steady wind; a moderate wind; a moderate breeze; a steady breeze; medium wind; some wind
an even wind; a constant breeze; wind of medium strength; a normal wind; a middling wind
a regular breeze; moderate winds; a fair wind; wind force 4; an average wind; a decent breeze
a sustained breeze
[speed=moderate says]
the wind is moderate; the wind is steady; the clouds move at a steady pace; the wind blows steadily
there is a moderate wind; the clouds move at medium speed; wind speed: moderate
the clouds keep a steady pace; a normal amount of wind; the breeze is steady; medium speed clouds
moderate motion
[speed=fast sadv]
quickly; fast; swiftly; rapidly; at high speed; at great speed; briskly; furiously; hurriedly
in a rush; in a hurry; wildly; at full tilt; very fast; speedily; with great haste
at breakneck speed; hastily; at a gallop; headlong; frantically; like mad; quick; really fast
superfast; at a tremendous pace; energetically; in haste; at pace; violently; rapid; at a run
at lightning speed; pell-mell
[speed=fast sverb]
race; rush; hurry; fly; speed; tear; scud; streak; charge; hurtle; sweep; gallop; dash; shoot; whip
bolt; run; stampede; zoom; sprint; whiz; barrel; surge; careen; scurry; scoot; hasten; fly past
whirl; storm; chase each other; blast
[speed=fast windnp]
a strong wind; a gale; a stiff wind; a brisk wind; high winds; a fierce wind; a howling wind; gusts
strong gusts; a galloping wind; powerful wind; a gale-force wind; blustery wind; a strong breeze
a near gale; a violent wind; a squall; squally wind; hard wind; a gusty wind; big wind
a stiff breeze; heavy winds; a raging wind; a fresh wind; wind force 8; a roaring wind
a blast of wind; a hurricane wind; a fast wind; a windstorm; a rough wind; strong winds; fast wind
a savage wind; a boisterous wind; a lashing wind; a keen wind; whipping winds; storm-force wind
[speed=fast says]
the wind rips through; wind ripping; a ripping wind; it's stormy-windy; everything flaps in the wind
hair blowing in the wind; clouds hurry by; clouds hurry past; clouds rip by; the clouds hurtle by
wild wind; so windy; the wind is strong; the wind howls; it is very windy; it is windy
the clouds race by; the clouds fly past; the wind roars; it blows hard; the clouds are in a hurry
the wind whips; clouds move fast; fast clouds; fast-moving clouds; the clouds rush along
the wind blows hard; trees bend in the wind; a flag snaps in the wind; it's blowing a gale
the gale tears at everything; the wind is fierce; wind speed: fast; clouds go quickly; quick clouds
rapid clouds; windy; gusty; blustery; the clouds are speeding along; hats fly off in the wind
the wind tugs at everything; the clouds are really moving; the wind screams; swift clouds
cloud motion fast; racing clouds; scudding clouds; the sky rushes by; hurrying clouds
high wind speed
"""

WEATHER = """
[weather=dry value]
dry; no rain; no precipitation; rainless
[weather=haze value]
hazy; fog; mist; foggy; misty; haze
[weather=rain cover~overcast value]
rain; rainy; wet; drizzle; showers
[weather=storm cover~overcast kind~stormy value]
storm; thunderstorm; stormy; lightning
[weather=dry wnp]
dry weather; no rain; dry air; a dry spell; rainless weather; no rain at all; no precipitation
dry conditions; not a drop of rain; no rain or fog; zero rain; no rainfall; no mist and no rain
clear dry air
[weather=dry wadj]
dry; rainless; rain-free; precipitation-free; bone-dry
[weather=dry says]
it is dry; it does not rain; it isn't raining; it's not raining; it stays dry; not a drop falls
without rain; without any rain; there is no rain; the rain has stopped; no rain falls; it won't rain
never a drop of rain; the air is dry; the rain holds off; without rain or mist; the rain is over
it has stopped raining; there is neither rain nor fog; the weather is dry; please no rain
it hasn't rained; the ground is dry; no showers; there is no precipitation
[weather=haze wnp]
haze; mist; fog; a light haze; morning mist | time=dawn/morning; a thin mist; thick fog
a veil of mist; drifting fog; a milky haze; fog banks; sea fog | land=sea; murk; hazy light
misty air; hazy air; a soft haze; low fog; dense fog; ground fog; heavy mist; smog | land~city
wisps of fog; a bank of fog; swirling mist; rolling fog; summer haze; heat haze; poor visibility
low visibility; brume; a foggy veil; ghostly mist; a fog layer; patchy fog; a dreamy haze; dust haze
vapour; steamy mist; blue haze; curtains of mist; pools of mist; haze on the horizon; obscuring fog
a white-out of fog; foggy weather; misty weather; fog everywhere; clinging mist; lingering fog
[weather=haze wadj]
hazy; misty; foggy; mist-covered; fog-bound; mist-shrouded; murky; fog-shrouded; mist-wrapped
smoggy; fogged-in; blurry misty; mist-filled; vaporous; fog-wrapped; mist-veiled; foggy; befogged
[weather=haze says]
fog hangs in the air; mist lies over everything; it is foggy; it is misty; it is hazy
the horizon vanishes in haze; mist rises; fog rolls in; fog clings to the ground
everything is veiled in mist; the distance dissolves in haze; mist blurs everything
haze softens the distance; fog swallows the view; you can hardly see through the fog
the air is thick with mist; the air is hazy; the mist hasn't lifted; fog lies thick; a mist settles
visibility is poor; fog creeps in; the view is blurred by mist; mist curls upward; fog drifts by
you can't see far; mist hangs low
[weather=rain cover~overcast wnp]
rain; light rain; steady rain; drizzle; a downpour; showers; pouring rain; heavy rain; rainfall
a light drizzle; falling rain; a rain shower; a cloudburst; rain showers; driving rain; soft rain
a wet spell; wet weather; rainy weather; a deluge; precipitation; sheets of rain; raindrops
a fine rain; a spot of rain; some rain; a bit of rain; constant rain; torrential rain; sprinkles
a spring shower; rain streaks; slanting rain; a cold rain; persistent rain; a soaking; mizzle
a wall of rain; lashing rain; spitting rain; curtains of rain; april showers; monsoon rain
a wet downpour; a gentle rain; passing rain; rain and drizzle; sleety rain; summer rain; warm rain
[weather=rain cover~overcast wadj]
rainy; wet; rain-soaked; drizzly; showery; rain-swept; drenched; rain-washed; raining; rain-lashed
soggy; pluvial; soaked; sodden; rain-drenched
[weather=rain cover~overcast says]
it is raining; rain falls; it rains; it's pouring; it drizzles; rain pours down
rain comes down in sheets; raindrops fall; a shower passes; it's drizzling; rain patters down
the rain does not stop; rain lashes down; rain is falling; umbrellas are out; it is wet and raining
it's bucketing down; it's tipping down; the heavens open; rain drums on the ground
it's raining cats and dogs; rain sweeps across; it has begun to rain; it's starting to rain
rain hammers down; the rain keeps falling; it won't stop raining; it's raining
showers sweep through; rain soaks everything; rain runs down the glass; drops fall from the clouds
a rain curtain hangs from the clouds; rain blurs the view; it's wet; it's raining hard
rain whispers down; it's teeming; puddles fill with rain; it is drizzling lightly
water pours from the sky
[weather=storm cover~overcast kind~stormy wnp]
a storm front; an approaching storm; a storm moving in; a gathering storm; foul weather with thunder
a storm at sea | land=sea; storm; thunderstorms all around; thunder and rain; a black storm
a distant thunderstorm; rumbles of thunder; a thunderstorm; a storm; lightning
thunder and lightning; a violent storm; flashes of lightning; thunder; a tempest
an electrical storm; a lightning storm; lightning bolts; a raging storm; a heavy thunderstorm
bolts of lightning; thunderstorms; a big storm; a wild storm; stormy weather; a severe storm
rolling thunder; forked lightning; a summer storm; a storm with lightning; a hurricane; a typhoon
a tornado; a furious storm; a squall with thunder; claps of thunder; thunder rumbling
thundery weather; thunderbolts; heat lightning; a cyclone; a supercell storm; sheet lightning
a thunder shower; a terrible storm; peals of thunder
[weather=storm cover~overcast kind~stormy wadj]
stormy; thundery; storm-lashed; tempestuous; storm-tossed; storm-swept; lightning-lit; storm-ridden
storm-battered; thunderous
[weather=storm cover~overcast kind~stormy says]
thunder rolls; lightning flashes; lightning strikes; a storm rages; thunder rumbles
a thunderstorm breaks; a storm breaks; the storm is here; lightning splits the sky; a storm rolls in
thunder cracks; lightning flickers; lightning forks across the sky; thunder booms; the storm roars
bolts of lightning strike; there is thunder and lightning; the sky flashes with lightning
it thunders; a tempest blows; a storm is raging; a thunderstorm passes over
lightning tears the sky open; the storm hits; it's stormy; a storm lashes the land
thunder shakes the air; a storm moves in; the storm gathers; thunder growls; the sky growls
lightning dances; a storm sweeps over; the thunder gets louder; electric flashes light the clouds
"""
