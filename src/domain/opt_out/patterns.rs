//! Patterns of phrases that opt out, and of what stands beside them. Texts are folded: small
//! letters without accents.

/// Phrases that opt out unless something beside them negates them.
pub(super) const STRONG: &str = concat!(
    r"\b(?:",
    // English
    r"unsubscribe\b|(?:be|get|i|i've|i have) (?:already )?unsubscribed",
    r"|opt(?:ing)?[ -]?(?:me |us )?out\b|remove (?:me|us)\b",
    r"|remove (?:my|our|this) (?:e-?mail|address|name|number|contact|details|info|data)",
    r"|(?:be|get) removed from (?:your|this|the|all|any)|please remove(?:$|[.!?,\n])",
    r"|take (?:me|us) off|take (?:my|our|this) (?:name|number|e-?mail|address) off",
    r"|(?:stop|quit) (?:e-?mailing|calling|contacting|messaging|texting|mailing|writing|spamming|sending",
    r"|bothering)",
    r"|(?:do not|don't|dont|never) (?:ever |please |you ever )?",
    r"(?:contact|e-?mail|call|text|message|mail|write|reach out)(?: to)?(?: me| us)?\b",
    r"|(?:do not|don't|dont|never) send (?:me |us )?(?:any |more |anymore )*",
    r"(?:e-?mails?|texts?|messages?|mails?)\b",
    r"|(?:not|don't|dont) (?:want|wish) to be (?:contacted|e-?mailed|called|texted|messaged)",
    r"|(?:not|don't|dont) want you to (?:contact|e-?mail|call|text|message)",
    r"|not to (?:contact|e-?mail|call|text|message) (?:me|us)",
    r"|(?:please |^|[.!?,\n] ?)no (?:more|further) (?:e-?mails?|mails?|texts?|messages?|calls|contact)\b",
    r"|lose my number|take a hike",
    r"|how (?:do|can|could|would|should) (?:i|we) (?:please |just |finally |actually |ever )*(?:(?:be|get) (?:taken|removed|struck|dropped|deleted) ",
    r"(?:off|from|out of)|(?:get|come) (?:myself |ourselves |me |us )?(?:off|out of) (?:this|the|your|that|these|any|all)\b",
    r"|(?:stop|end|block) (?:getting |receiving )?(?:these|this|the|your|all|any|more|further)(?: \w+)? ?(?:texts?|messages?|e-?mails?|mails?|calls?|sms|newsletters?|spam)\b",
    r"|leave (?:this|the|your) (?:\w+ )?list|remove (?:myself|ourselves))",
    // German
    r"|wie (?:meld|trag)(?:e|en) (?:ich mich|wir uns)(?: \w+){0,3} (?:ab|aus)\b|wie komm(?:e|en) (?:ich|wir)(?: \w+){0,3} (?:aus|von)(?: \w+){1,2} (?:verteiler|liste)",
    r"|abmelden|austragen|meld(?:e|en sie) mich(?: bitte)? ab|trag(?:e|en sie) mich(?: bitte)? aus",
    r"|keine (?:weiteren |weitere )?(?:e-?mails?|mails?|nachrichten)(?: mehr)?\b",
    // French
    r"|desabonner|desabonnez|desabonne[ -]moi|desinscrire|desinscrivez",
    r"|ne (?:me|nous) contactez plus|ne plus (?:me|nous) contacter|arretez de (?:m'|me |nous )",
    r"|ne m'(?:ecrivez|appelez|envoyez) plus",
    // Spanish
    r"|(?:dar|de|den|da)me de baja|como (?:me doy|nos damos|me puedo dar|nos podemos dar) de baja",
    r"|n(?:o|unca) (?:me|nos) (?:contact(?:e|es|en)|escrib(?:a|as|an)|llam(?:e|es|en)|envi(?:e|es|en))\b",
    r"|cancelar (?:la |mi )?suscripcion",
    // Italian
    r"|rimuov(?:imi|etemi|ermi)|cancell(?:ami|atemi|armi)\b|disiscriv(?:imi|etemi)|non contattatemi",
    r"|come (?:mi cancello|mi disiscrivo|(?:faccio a|posso) (?:cancellarmi|disiscrivermi))",
    // Portuguese
    r"|cancelar (?:a |minha |a minha )?inscricao|nao (?:me|nos) contat(?:e|em)\b|nao me escreva",
    r"|como (?:faco para |posso )(?:sair (?:desta|dessa|da) lista|me descadastrar|cancelar)",
    // Dutch, Swedish, Danish, Norwegian
    r"|hoe (?:kan|moet) (?:ik|wij|we) (?:me|mij|ons)(?: \w+){0,2} (?:afmelden|uitschrijven)|hoe (?:meld|schrijf) ik me(?: \w+){0,2} (?:af|uit)\b",
    r"|hur (?:avregistrerar|avprenumererar|avanmaler) jag|hur (?:kan|gor) jag (?:for att )?(?:avregistrera|avprenumerera|avanmala)",
    r"|hvordan (?:afmelder|framelder|avmelder) jeg|hvordan (?:kan|skal) jeg (?:afmelde|framelde|avmelde|melde meg av)|hvordan melder jeg (?:mig|meg)(?: \w+)? (?:fra|af|av)\b",
    r")",
);

/// What may stand between "not" and what is not wanted.
pub(super) const FILLERS: &str = concat!(
    r"(?: (?:ever|actually|really|even|yet|currently|already|want|wanted|wish|wished|need|needed|like",
    r"|mean|meant|intend|plan|planning|going|trying|try|ask|asked|asking|request|requested|say|saying",
    r"|said|tell|told|think|have|had|you|i|we|they|anyone|anybody|to|that|be|been|being|me to|us to",
    r"|him to|get|click|clicked|hit|press|pressed|choose)){0,6}",
);

/// What follows a demand that is for a time, a thing or a way only.
pub(super) const LIMITED: &str = concat!(
    r"^(?: (?:it|that|and drive|a|an|anyone|anybody|people|anything|checks?|cheques?",
    r"|novels?|contracts?|code)\b|(?: (?:me|us|my \w+|this number))?(?: (?:again",
    r"|back))?,? ?(?:before|until|till|during|between|while|today|tonight|tomorrow",
    r"|yet|right now|just yet|this week|on (?:mon|tue|wed|thu|fri|sat|sun|weekend",
    r"|my)|after (?:[0-9]|lunch|work|hours|noon|six|five)|at (?:work|night|[0-9]",
    r"|home|the office)|unless|(?:[^.!?\n]{0,40} )?instead\b|,? (?:but )?(?:just ",
    r"|only |better )?(?:e-?mail|text|call|write|message) (?:me|us)\b))",
);

/// Words that begin with a capital letter and are no names.
pub(super) const NO_NAMES: [&str; 12] = [
    "again", "please", "thanks", "thank", "ever", "any", "and", "or", "this", "anymore", "at",
    "back",
];

/// What follows a phrase that forbids a way to reach the lead, if another is asked for.
pub(super) const INSTEAD: &str = concat!(
    r"^[^.!?;\n]{0,60}(?:",
    // ", email works better", ", texting is better"
    r"\b(?:e-?mails?|e-?mailing|texts?|texting|messages?|messaging|whatsapp|sms|linkedin|chat|calls?|calling|ringing|phone|phoning)",
    r"(?: (?:me|us|it|is|are|on))? ?(?:works?|is|are|would be|suits?) (?:\w+ )?(?:better|best|fine|easier|enough|quicker|faster|preferred|ok|what)\b",
    r"|\bi(?:'d| would)? (?:much )?prefer (?:an? |to |the )?(?:\w+ )?(?:e-?mails?|texts?|calls?|phone|message|be called)\b",
    r"|\b(?:and|but|just|instead|rather|then|so) (?:please |just |simply |rather |go ahead and )*(?:start|pick up|call|ring|phone|dial|come|visit|book)\b",
    r"|\b(?:call|ring|phone|text|message|e-?mail|write to|write|contact|ask|talk to|speak to) (?:me|us|him|her|them|my \w+|our \w+|the \w+) (?:instead|rather)\b",
    r"|\binstead\b|, (?:just |rather |please )?(?:call|ring|phone|text|write to|write|e-?mail|message|use) (?:me|us|the|this|my|our|to me|to us)\b",
    r"|, (?:lieber|besser|stattdessen|rufen sie|ruf|appelez|proposez|envoyez-moi|llam|mejor|piuttosto|chiam|ligue|bel|ring)[a-z]*)",
);

/// What follows "stop sending" if messages are meant.
pub(super) const OF_MESSAGES: &str = concat!(
    r"^(?:(?: out)?(?: to)?(?: (?:me|us|my \w+|our \w+|this \w+|any ?one here))?(?: of)?(?: (?:all|any|more|any more|so many|so much|the|these|this|those|that|such|your|ur|",
    r"unsolicited|unwanted|further|damn|bloody|stupid|random|endless|constant|daily|weekly|sales|marketing|promotional|crappy|fucking|other|of|kind|kinds|sort|cold|junk|spam))*",
    r"(?: (?:e-?mails?|e-?mail|emials|mails?|mailings?|mailers?|messages?|msgs?|texts?|sms|spam|stuff|crap|shit|junk|rubbish|garbage|newsletters?|ads?|adverts?|advertising|advertisements?|marketing",
    r"|offers?|promos?|promotions?|things?|anything|sales|pitches|letters|inmails?|dms?|solicitations?|communications?|notifications?|campaigns?|it|them|nonsense|bullshit))?",
    r"(?: (?:again|any ?more|please|now|already|at once|immediately|for good|altogether|and|to (?:me|us|my|our|this|these|any)|every|about|if|or|from)\b|[.!?,;:)\n]|$| ?-))",
);

/// What follows a phrase that forbids, if it is not about the lead's own address: "… my old
/// address", "… me Mr Dale".
pub(super) const NOT_OWN: &str = concat!(
    r"^(?: (?:any )?(?:e-?mails?|mails?|messages?|texts?|anything))?(?: to| at| on)? (?:my|our|the|this|that|his|her) (?:\w+ )?(?:old|other|former|previous|wrong|second|work|private|personal|colleague|assistant|boss|wife|husband|office line|home|dad|mum|mom|mother|father|partner|staff|team|clients?|customers?)\b",
    r"|^(?: me| us) (?:mr|mrs|ms|miss|dr|sir|madam|darling|love|mate|dear|buddy|by)\b|^ (?:him|her|them|it|everyone|everybody|people|customers|clients)\b",
    r"|^ (?:about|over|for|regarding) (?:the|this|that|it)\b[^.!?\n]{0,40}\b(?:until|before|till|yet)\b",
);

/// Words of opting out that are used of other things as well.
pub(super) const BARE: [&str; 8] = [
    "unsubscribe",
    "opt",
    "abmelden",
    "austragen",
    "desabonner",
    "desinscrire",
    "desabonnez",
    "desinscrivez",
];

/// What stands before such a word if it is a wish.
pub(super) const BARE_BEFORE: &str = concat!(
    r"(?:^|[.!?,;:\n(] ?|\b(?:please|pls|plz|kindly|just|and|to|me|us|i|can't|cannot|couldn't|can not|now|then|want|hereby|immediately|so|also|but|must|or",
    r"|(?:can|could|would|will|that) you|i'm|i am|we're|we are|(?:von|aus) (?:ihrem|ihrer|ihren|eurem|eurer|deinem|diesem|dieser|dem|der|allen) (?:newsletter|\w*verteiler|\w*liste|mailings?|e-?mails?|mails|nachrichten)",
    r"|bitte|mich|uns|sofort|jetzt|interessiert|nous|m'|merci de|veuillez|svp|interesse|interested) ?)$",
);

/// What stands behind such a word if it is a wish.
pub(super) const BARE_AFTER: &str = concat!(
    r"^(?:$|[.!?,;:\n)\x22'-]| (?:me|us|my|our|this|please|pls|plz|thanks|thank|thx|now|immediately|asap|at once|today|and|straight|right away|[a-z0-9._-]+@",
    r"|(?:from|of) (?:this|these|those|the (?:\w+ )?(?:e-?mails?|mails?|messages|texts|lists?|mailings?|communications?|newsletters?)|everything|all|any|ur|it|here|further|future|receiving|your (?:\w+ ){0,3}(?:e-?mails?|mails?|messages|texts|lists?|mailings?|mailing list|communications?|marketing|sms|newsletters?|campaigns?|database|service|system|spam|stuff|crap))",
    r"|bitte|bis|sofort|umgehend|danke|von (?:ihrem|ihrer|diesem|dieser|allen|der liste|dem verteiler)|aus|svp|s'il|merci|de (?:votre|vos|cette|la liste|toutes|ces)|immediatement|definitivement)(?:\b|$))",
);

/// What follows a phrase that is about another person.
pub(super) const OF_OTHERS: &str = concat!(
    r"^(?: (?:an|a|to|aan|till|til))? (?:ihn|herrn?|frau|him|her|them|lui|elle|mr|mrs|ms|hem|haar|honom|henne|ham|hende)\b",
    r"|^ (?:off|down)\b|^(?: to)? the (?:\w+ ){0,2}(?:branch|office|shop|depot|reception|warehouse|landlord|team|contract|other)\b",
);

/// Before a phrase: somebody else than we was asked, told or wished to.
pub(super) const ASKED_OTHERS: &str = concat!(
    r"\b(?:asked|told|asking|telling|ask|tell|got|get|want|wanted|need) (?:the|another|a|an|my|our|his|her|their|some|someone|somebody|him|them|it|everyone|people)",
    r"(?: \w+){0,3} (?:to|not to)(?: \w+)? ?$|\b(?:le|les) (?:digo|dije|pido|pedi|hemos dicho) que ?$",
);

/// What follows a demand that holds until or from a time on.
pub(super) const FOR_A_TIME: &str = concat!(
    r"^s?(?: (?:me|us|mehr|again|please|pls|bitte|in peace|i fred|ifred|tranquilles?|en paz|in pace|em paz|in ruhe|met rust))* ",
    r"(?:until|till|til|tills|despues de|antes de|apres|avant|dopo le|prima delle|depois das|antes das|voor [0-9]+|na [0-9]+|jusqu[a-z]*|hasta|fino a|ate (?:o|a|ao|as|[0-9]+)|bis|tot (?:na|het|de|[0-9]+)|before (?:the )?[0-9]+[a-z]*|nach [0-9]+",
    r"|after (?:[0-9]+[a-z]*|four|five|six|seven|eight|nine|ten|hours|work|lunch))\b",
);

/// What follows a word of opting out that is part of a name or of a contract.
pub(super) const NOUN: &str = concat!(
    r"^(?:s?[ -](?:rates?|notices?|instructions?|footers?|texts?|wording|lines?|polic(?:y|ies)|clauses?|compliance|mechanisms?)",
    r"| (?:the |of the )?(?:market|hook|hold|mute|guard|track|balance)",
    r"| of (?:our|the|my|a|that|this|any) (?:[a-z]+ ){0,2}",
    r"(?:contract|agreement|plan|lease|deal|policy|program|insurance|coverage)",
    r"| later| at any time| anytime| any time)\b",
);
