//! Demands in plain words: to be taken off a list, to be left alone, not to be written to again.
//! Texts are folded: small letters without accents.

/// What stands between two parts of a demand.
const GAP: &str = r"(?:[ ,]+[^ .!?\n]+){0,4}?[ ,]+";

/// Demands that are opt-outs, unless something beside them negates them. `@` stands for
/// [`GAP`].
const CERTAIN: &[&str] = &[
    // English
    r"(?:take|get|want|have|cut|scrub|strike|scratch|wipe|erase|delete|remove|drop|pull|exclude|purge|deregister) (?:me|us|my|our|this|these|all|both|that|her|him|the)\b@(?:lists?|database|records|crm|mailings?|campaigns?|outreach|sequences?|contacts|address book|newsletters?|mail-?out|distribution)\b",
    r"(?:leave|keep) (?:me|us|my|our|this)(?: \w+){0,2} (?:off|out of|away from)\b@(?:lists?|database|records|crm|mailings?|campaigns?|outreach|sequences?|contacts|newsletters?)\b",
    r"(?:get|take|want|strike|kick|pull) (?:me |us )?(?:the \w+ |tf )?(?:off|out of) (?:(?:it|this|that|your|ur|whatever|of this) ?(?:\w+ )?(?:list|mailing|thing|sequence|campaign)?|the (?:\w+ )?(?:list|mailing|sequence|campaign|database))\b(?: list)?",
    r"(?:delete|erase|forget|unlist|deregister|strike off) (?:me|us)\b",
    r"(?:never|not|don't|dont|do not|no longer|no desire|no wish)@(?:hear from|receive|to be contacted|to be bothered|be bothered|be approached)@(?:you|ur|u|your|these|this|from|any ?more|again|e-?mails?|mails?|messages|offers|ads|marketing|newsletters?)\b",
    r"(?:to be|being|be) left (?:alone|in peace|out of|off)",
    r"(?:cease|desist|refrain)(?: and desist)? (?:from )?(?:all |any |further |sending (?:me|us|any|further|more|these|e-?mails?|messages?)|contact|e-?mail|writ|communicat|messag|call|immediately)",
    r"(?:cease|stop|quit|end|halt) (?:all |any |with |this |these |the |your |ur |further |sending |w )*(?:contact|communications?|e-?mails|texts|msgs|messages|sms|spam|mailings?|harassment|outreach|solicitations?)\b",
    r"(?:withdraw|revoke|never gave|not given|no|did not|didn't|have not|haven't|do not|don't) (?:\w+ )?consent(?:ed)?\b",
    r"(?:lose|forget|bin|ditch|delete|drop) (?:my|this|our) (?:number|address|e-?mail|details|contact)",
    r"(?:don't|dont|do not|never)(?: ever| please| you| u| dare| even| try to)* (?:bother|pester|hassle|spam|disturb|contact|write|e-?mail|message|text|msg) (?:me|us|this|here)",
    // German
    r"(?:meine|unsere|samtliche|alle|diese|die|meiner|unserer)@(?:daten|adresse|nummer|kontaktdaten|angaben|mailadresse|e-?mail-?adresse)@(?:losch|streich|entfern|sperr|zu losch|getilgt)[a-z]*",
    r"(?:schreib|kontaktier|belastig|meld|schick|send|ruf|stor|behellig)[a-zß]*@(?:nicht|nie|nichts|keine) (?:mehr|wieder|weiter)[a-z]*",
    r"(?:mochte|will|wunsche|wollen|mochten)@(?:nichts|keine|nicht|nie)@(?:horen|erhalten|bekommen|kontaktiert|angeschrieben|belastigt)",
    r"(?:hort|horen sie|hor|schluss|stopp?)@(?:auf|mit)@(?:zu schreiben|mails|nachrichten|werbung|spam|zu belastigen|zuspammen|sms)",
    r"kontakt unerwunscht|(?:widerspreche|widersprechen)@(?:nutzung|verarbeitung|werbung|daten)",
    r"(?:nehm|nimm|streich|losch|entfern|trag|werf)[a-z]*(?: sie| du)?(?: bitte)? (?:mich|uns|meine \w+|unsere \w+)(?: bitte| sofort| umgehend)* (?:aus|von|vom) (?:\w+ ){0,2}(?:\w*verteiler|\w*listen?|datenbank|newsletter)\b",
    // French
    r"(?:supprim|retir|enlev|ray|effac|radi|ot|sort|exclu|desinscri|desabonn|vir|barr)[a-z]*[ -](?:moi|nous|mon|ma|mes|notre|nos|cette|ce|toutes?|le|la|les)@(?:liste|listes|fichiers?|base|bases|donnees|adresse|numero|coordonnees|mail|contacts?|diffusion|nom|mailing|tel)",
    r"(?:ne|n)@?(?:m'|me |nous )?(?:re)?(?:ecri|contact|envoy|sollicit|derang|appel|relanc|importun)[a-z]*(?:[- ](?:moi|nous))? (?:plus|jamais)",
    r"(?:laiss|fich|fout)[a-z]*[- ](?:moi|nous)@(?:tranquille|paix|la paix)|(?:derniere fois)@(?:entendre|ecri|contact|demande|recevoir)",
    r"(?:oubli)[a-z]*@(?:mon|ce) (?:numero|adresse|mail)",
    r"(?:c'est|ceci est|message releve)@(?:du spam|spam|harcelement|arnaque)|(?:je|on) (?:vous|te|le) (?:signale|bloque|denonce)|signale[a-z]* comme (?:spam|indesirable)|arnaqueurs?|va te faire|allez vous faire|connards?|degag",
    // Spanish
    r"(?:borr|elimin|quit|suprim|exclu|excluy|retir|tach|saqu|sac)(?:a|e|en|ad|an|ar|ir)?(?:me|nos)(?: ya| por favor| porfa| inmediatamente| ahora)* (?:de|del) (?:(?:su|sus|tu|tus|la|las|el|esta|esa|este|vuestra|vuestras|todas|todos|cualquier) )+(?:listas?(?: de (?:correo|correos|distribucion|contactos|envios|difusion))?(?:[.,!;\n]|$| y| por| ya)|listado|base|bases|registros?|fichero|envios|cadena|sistema|crm|agenda|contactos|destinatarios|difusion|newsletter|boletin|mailing)",
    r"(?:borr|elimin|suprim)(?:a|e|en|ad|an|ar|ir)(?:me|nos)(?:[.!,]|$| por favor| ya\b)|(?:que|favor|pueden?|podrian?) (?:me|nos) (?:borr|elimin|quit|saqu|exclu)(?:e|en|ya|yan) de (?:su|sus|la|tu|tus|esta) (?:lista|base)",
    r"(?:borr|elimin|suprim)[a-z]* (?:todos |ya |por favor )?(?:mi|mis|nuestr[oa]s?) (?:numero|datos|correo|mail|email|direccion|contacto|registros?|nombre|telefono|celular)",
    r"(?:no|ni un[oa]?|basta de|nada de) mas (?:mensajes|correos|emails?|mails?|sms|contacto|publicidad|llamadas|spam|promos|comunicaciones)|(?:ultima vez)@(?:escrib|contact|saber|pido|recib)[a-z]*",
    // Italian
    r"(?:cancell|rimuov|elimin|togli|tolg|togliet|depenn|escl|esclud|stral)[a-z]*@(?:mi|mio|miei|mia|nostr[oaie]|ques[a-z]+|dati|la|il|i|dal|dalla|dai|dalle|subito)@?(?:lista|liste|elenchi|elenco|indirizzo|indirizzi|numero|num|contatti|contatto|database|archiv[a-z]+|dati|mail|email|mailing|rubrica|nominativo|crm|recapit[a-z]+|anagrafica)",
    r"(?:cancell|rimuov|elimin|togli|depenn|esclud|togliet|cancellat)[a-z]*(?:mi|ci|temi|teci|rmi|rci)\b|\bmi (?:tolga|cancelli|rimuova|elimini|togliate|cancelliate|rimuoviate)|\bci (?:tolga|cancelli|rimuova)",
    r"(?:non|nn)@(?:voglio|vogliamo|desidero|desideriamo|intendo|vorrei|gradi[a-z]+)@(?:ricever|essere contattat|sentir|essere disturbat|ricev|altre)[a-z]*",
    // Portuguese
    r"(?:nao|n)@(?:quero|queremos|desejo|desejamos|pretendo|pretendemos|gostaria|autoriz[a-z]+)@(?:receb|mais|ser contat|ser contact|que me|sms|saber|voltar)[a-z]*",
    // Dutch
    r"(?:mail|schrijf|benader|contacteer|stuur|app|bel|sms|spam|stoor)[a-z]* (?:me|mij|ons|hier|dit adres)?@?(?:niet|nooit|niks|niets|geen)(?: berichten| mails)? (?:meer|opnieuw|weer|langer)",
    r"(?:laat|laten|met)@(?:mij|me|ons)?@?(?:met rust|rust gelaten)|met rust\b|(?:laatste keer|laatste mail)@(?:hor|mail|schrijf|contact|bericht|wil)[a-z]*|vergeet (?:mijn|dit) (?:nummer|adres)",
    r"(?:haal|schrap|verwijder|gooi)[a-z]* (?:me|mij|ons) (?:alstublieft |alsjeblieft |aub |direct |meteen |ook |nu )*(?:uit|van) (?:uw|jullie|je|jouw|de|deze|die) (?:\w*lijst|bestand|database|mailing)",
    // Swedish, Danish, Norwegian
    r"(?:ta bort|stryk|radera|slett?|fjern|tag|ta) (?:mig|meg|oss|os)(?: helt| straks| genast| omedelbart)? (?:fran|fra|ur|av|af) (?:er|era|ert|eran|din|denna|denne|jeres|deres|den har|den her) ?\w*list[a-z]*",
    r"(?:mina|mine|vara|vores|vare|min|mitt|mit)@(?:uppgifter|oplysninger|opplysninger|data|adresse|adress|nummer|mail)@(?:radera|slett|slet|fjern|tas bort|bort|slettes|raderas|fjernes)[a-z]*|(?:av|af|fra|fran|ur) (?:er|eres|jeres|deres|din|denne|listen|lista|den|den har) ?(?:\w+)?(?:lista|listan|liste|listen|liste|register|databas|database|utskick)",
    r"(?:lat|lad|la|lamna)@(?:mig|meg|oss|os)@(?:vara|vaere|vere|i fred|ifred|fred)|i fred\b|(?:sista|siste|sidste) (?:gang|gangen|gangen|advarsel)@(?:hor|skriv|kontakt|vil|ber)[a-z]*|(?:glom|glem) (?:mitt|mit) (?:nummer|nr)",
];

/// Phrases that are demands often, and often are not. They count as signs only.
const POSSIBLE: &[&str] = &[
    // Laws
    r"(?:right to (?:erasure|be forgotten|object)|data subject|do[ -]not[ -](?:call|contact|mail)|can-?spam|tcpa|under (?:the )?gdpr|article 1[57]|article 21|art\.? ?(?:17|21))",
    r"unterlass[a-z]*|unerwunschte? (?:werbung|mail|kontakt)[a-z]*|abmahn[a-z]*|widerspruch@(?:nutzung|verarbeitung|werbung|daten)|dsgvo@(?:losch|widerspr|art)|art(?:ikel|\.)? ?(?:17|21)",
    r"rgpd@(?:effac|supprim|oppos|droit)|droit (?:a l'oubli|a l'effacement|d'opposition)|je m'oppose|nous nous opposons|article (?:17|21)|\bcnil\b|mise en demeure",
    r"(?:rgpd|lgpd|cnpd|anpd|procon|nao me perturbe|direito (?:ao|de) (?:apagamento|esquecimento|oposicao|eliminacao)|oponho-me|me oponho|artigo (?:17|18|21)|encarregado d[ea] (?:dados|protecao)|revog[a-z]+@consentimento)",
    r"\bavg\b|recht (?:op vergetelheid|van bezwaar|op verwijdering)|artikel (?:17|21)|autoriteit persoonsgegevens|bel-me-niet|(?:maak|teken) bezwaar|trek@toestemming@in",
    r"\bgdpr\b@(?:radera|slett|slet|fjern|kraev|krav|begar)[a-z]*|ratten att (?:bli|raderas)|retten til (?:sletning|sletting|a bli glemt|at blive glemt)|artik[a-z]+ ?(?:17|21)|integritetsskydd|datatilsynet|nix-?registret|reservasjonsregisteret|robinsonlist[a-z]*|(?:trekker|traekker|aterkallar|drar)@samtyk?k?[a-z]*|inkassovarsel|markedsforingslov[a-z]*",
    // Spanish
    r"(?:borr|elimin|quit|sac|suprim|exclu|retir|remuev|remov|tach)[a-z]*@(?:mis|mi|nuestr[oa]s?|est[ea]|me|nos|la|el|tod[oa]s?|de)@?(?:lista|listas|bases? de datos|datos|numero|correo|mail|email|celular|cel|contacto|registros?|direccion|nombre|telefono|envios|fichero|whatsapp)",
    r"(?:borr|elimin|quit|sac|suprim|exclu|retir|remuev|saqu)[a-z]*(?:me|nos|enme|enos|ennos)\b|\b(?:me|nos) (?:borr[ae]|elimin[ae]|quit[ae]|saqu|saca|den de baja|des de baja|de de baja)[a-z]*",
    // English
    r"(?:delete|erase|remove|scrub|wipe|purge|destroy|forget) (?:all |any |every )?(?:of )?(?:my|our|mine|this|whatever|the) (?:\w+ ){0,3}(?:data|details|information|info|number|e-?mail|e-?mails|address|addresses|name|record|profile|contact|cell|mobile)\b",
    r"(?:last time|last thing|last one)@(?:hear from|write|contact|want to see|receive)",
    r"(?:leave|left|let) (?:me|us|my \w+|our \w+)(?: \w+){0,2} (?:alone|in peace|be)\b",
    r"no (?:further|future|more) (?:contact|e-?mails?|messages?|mail|texts|sms|communications?|correspondence|solicitations?|outreach|marketing|newsletters?|advertising|pitches|approaches)",
    r"(?:rather|prefer|appreciate)@not@(?:receive|get|be contacted|hear|write|contact)",
    r"(?:this|it|that|these|you|u|your|ur)(?:'s|'re| is| are| r)?(?: \w+){0,2} (?:spam|spammers?|harassment|scam|scammers)\b",
    r"(?:report|reported|reporting|flag|flagged|flagging|block|blocked|blocking|mark|marked) (?:you|u|this|it|ur|your|them|as) ?(?:\w+ ){0,3}(?:spam|ico|ftc|phishing|abuse|junk|scam|harassment|authorit|number|domain|account)",
    r"(?:report|sue|block) (?:you|u)\b",
    r"fu?c?k (?:off|you|u)|f\*+k? off|piss off|bugger off|sod off|get lost\b|get stuffed|go to hell|screw you|shove (?:it|your)|go away\b",
    r"opposed to|object to (?:any|the|this|your|further|receiving|being)",
    // German
    r"(?:losch|streich|entfern|nehm|nimm|trag|tragen|werf|schmei|setz|sperr)[a-zß]*@(?:verteiler|liste|listen|datenbank|adressbestand|adressliste|kartei|crm|system|sperrliste|newsletter|mailing|raus|heraus|runter|aus)\b",
    r"(?:losch|streich|entfern|tilg|vernicht)[a-zß]*@(?:mich|uns|meine[a-z]*|unsere[a-z]*|diese|die|samtliche|alle)@?(?:daten|adresse|adressen|nummer|e-?mail|mailadresse|kontakt|kontaktdaten|angaben|eintrag|telefonnummer|handynummer|personenbezogen[a-z]*)\b",
    r"(?:losch|streich|entfern)[a-z]* (?:sie |bitte )*(?:mich|uns)\b|(?:nimm|nehmen sie|nehmt)@(?:mich|uns)@(?:raus|heraus|runter|aus)",
    r"(?:um|auf) (?:losch|streich|entfern|austrag)[a-z]*ung|bitte loschen|loschung (?:meiner|unserer|aller|samtlicher)|aus (?:dem|ihrem|eurem|deinem|diesem) (?:\w+)?verteiler",
    r"(?:nicht|nie|niemals|nimmer) (?:mehr|wieder|weiter|nochmal|noch einmal)@(?:schreib|kontaktier|anschreib|belastig|meld|anruf|zuschick|zusend|kontakt|melden|schicken|behellig)[a-z]*",
    r"(?:keine|keinen|keinerlei|kein) (?:weitere[nr]? |mehr )?(?:\w+ )?(?:werbung|kontakt|kontaktaufnahme|nachrichten|mails|e-?mails|sms|newsletter|zuschriften|anfragen|angebote|anrufe|post)@?(?:mehr|erwunscht|wunsch|erhalten|bekommen|wollen|bitte)?\b",
    r"(?:lass|lasst|lassen sie)@(?:mich|uns)@(?:in ruhe|in frieden)|in ruhe (?:gelassen|lassen)",
    r"(?:das|dies|ihre mails?|eure mails?|ihr) (?:ist|sind|seid)@(?:spam|belastigung)|(?:als|wegen) (?:spam|belastigung)@?(?:melde|gemeldet|markier|anzeig)[a-z]*|verpiss|arschl|halts? maul|leck mich|hau(?:t)? ab\b",
    r"(?:vergiss|vergessen sie|losch)@(?:meine|diese) (?:nummer|adresse)",
    // French
    r"(?:me|nous|m'|de me|de nous)@?(?:supprimer|retirer|enlever|rayer|effacer|radier|oter|sortir|exclure|virer)\b",
    r"(?:ne|n)@(?:plus|jamais|pas)@(?:ecri|contact|envoy|sollicit|recontact|derang|appel|relanc|messag|importun)[a-z]*",
    r"(?:plus|pas)@(?:recevoir|etre contacte|etre sollicite|entendre parler)",
    r"(?:plus aucun|plus jamais de|aucun autre|plus de)e? (?:message|mail|courriel|e-?mail|contact|sms|pub|publicite|sollicitation|texto|relance)s?",
    r"(?:arret|cess|stop)[a-z]*@(?:m'|me|de m|de me|de nous|envois?|messages?|mails?|courriels?|inmails?|spam|sms|harceler|harcelement|pub|relances|de demarcher|prospection|tout)",
    r"(?:n'ai|n'avons) (?:jamais|pas)@(?:inscrit|consenti|donne mon|demande a|accepte de recevoir)",
    // Spanish
    r"(?:no|nunca|dej[a-z]*|par[a-z]*|ces[a-z]*|evit[a-z]*)@(?:vuelv|escrib|contact|mand|envi|molest|llam|spamm|insist|bombarde|public)[a-z]*@?(?:mas|nunca|jamas|de nuevo|otra vez|mensajes|correos|a escribir|a contactar|me|nos)?",
    r"(?:no|ni)@(?:quiero|deseo|queremos|deseamos|quisiera)@(?:recib|que me|que nos|saber nada de|mas mensajes|mas correos|mas mails|seguir)[a-z]*",
    r"de baja\b|darme de baja|la baja (?:de|inmediata|definitiva)|cancel[a-z]*@suscripcion|olvid[a-z]*@(?:mi|este) (?:numero|correo|contacto)|dej[a-z]*(?:me|nos|enme) (?:en paz|tranquil[oa]s?)|en paz\b",
    r"(?:supresion|cancelacion|eliminacion|derecho de (?:oposicion|supresion|cancelacion)|rgpd|lopd|proteccion de datos|ley 25\.?326|articulo (?:17|21)|me opongo|habeas data)",
    r"(?:es|esto es|puro|son) (?:\w+ )?(?:spam|acoso|estafa)|(?:los|te|lo|las|la) (?:voy a |vamos a )?(?:denunci|report|bloque)[a-z]*|denunci[a-z]* (?:a|ante|por)|spam@(?:denunci|report|bloque)[a-z]*|vete a|vayanse|idiotas|pesados|chinga|a la mierda|hijos de",
    // Italian
    r"(?:non|nn|smett[a-z]*|evit[a-z]*|cess[a-z]*|pian[a-z]*)@(?:scriv|contatt|mand|invi|chiam|disturb|riscriv|ricontatt|import|tempest|messaggi|spamm)[a-z]*@?(?:piu|mai|ancora|oltre|messaggi|mail|nulla|altro|\+)?",
    r"(?:basta|niente|stop|nessun[a-z]*|non piu)(?: con)?(?: altr[a-z]+| ulterior[a-z]+| piu| i| le| gli| a)* (?:messaggi|messaggio|mail|email|e-mail|contatt[a-z]*|sms|pubblicita|comunicazion[a-z]*|spam|invi[a-z]*|newsletter)",
    r"(?:lasci|lasciat)[a-z]*(?:mi|ci|temi|teci) (?:in pace|stare|perdere)|dimentic[a-z]*@(?:mio|questo) (?:numero|indirizzo)|ultima volta@(?:scriv|contatt|sent|chied)[a-z]*",
    r"(?:gdpr|garante|diritto (?:all'oblio|di opposizione|alla cancellazione)|revoc[a-z]+@consenso|mi oppongo|ci opponiamo|art(?:icolo|\.)? ?(?:17|21)|intim[a-z]+|diffid[a-z]+|trattamento dei (?:miei|dati))",
    r"(?:e|questo e|e') (?:\w+ )?(?:spam|molestia|truffa)|(?:ti|vi|la|lo) (?:segnalo|denuncio|blocco|segnalero)|segnal[a-z]+ (?:come|per) (?:spam|molest)|vaffanc|andate a|idioti|rompi|disiscri[a-z]*",
    // Portuguese
    r"(?:apag|remov|retir|exclu|elimin|tir|risc|delet)[a-z]*(?:-me|-nos)?@(?:me|nos|meu|minha|meus|noss[oa]s?|est[ea]|o|a|os|da|do|das|dos|desta|dessa)@?(?:lista|listas|base|bases|dados|numero|n°|e-?mail|contato|contacto|telefone|cpf|registo|registro|cadastro|endereco|destinatarios|mailing|sistema|whatsapp)",
    r"(?:remova|retire|tire|exclua|apague|elimine|tira|apaga|risque)[a-z]*[- ](?:me|nos)\b|\bme (?:remov|retir|tir|exclu|apag|descadastr)[a-z]*|descadastr[a-z]*|sair (?:desta|dessa|da|de) (?:\w+ )?lista|meu n[a-z°]*@apaga",
    r"(?:nao|nunca|n|parem?|pare|para|deixem?|evit[a-z]*|cess[a-z]*)@(?:me |nos |de )*(?:contat|contact|escrev|envi|mand|incomod|perturb|ligu|lig|insist|voltar?|spam|chate)[a-z]*@?(?:mais|nunca|novamente|de novo|outra vez|mensagens|emails|nada|me|a escrever)?",
    r"(?:chega de|nada de|nem mais|sem mais|basta de|nenhum|nenhuma)@?(?:mensagens?|e-?mails?|sms|contatos?|contactos?|publicidade|spam|propaganda)|ultima vez@(?:escrev|contat|contact|receb|aviso|peco)[a-z]*|deix[a-z]*-?(?:me|nos)? (?:em paz|sossegad)[a-z]*|em paz\b",
    r"(?:e|isto e|isso e) (?:\w+ )?(?:spam|assedio|golpe)|(?:vou|vamos)@(?:denunci|bloque|report|processar)[a-z]*|(?:denunciad|bloquead|reportad)[oa]|vai (?:a merda|te|se)|idiotas|palhac",
    // Dutch
    r"(?:verwijder|schrap|haal|halen|wis|wissen|verwijderen|gooi|streep|doorhaal|schrijf|zet|uitschrijv|meld)[a-z]*@(?:mij|me|ons|mijn|onze|dit|deze|het|alle|m'n|mn)@?(?:lijst|lijsten|lijstje|bestand|bestanden|database|adres|gegevens|nummer|mailadres|e-?mailadres|mailing|mailinglijst|systeem|contactgegevens|naam|uit|af)\b",
    r"(?:mijn|onze|m'n|dit)@(?:adres|gegevens|nummer|mailadres|data)@(?:verwijder|wis|schrap|doorhaal|laten verwijder)[a-z]*|uitschrijven|afmelden|uitgeschreven worden|schrijf (?:me|mij|ons)@uit\b|meld (?:me|mij|ons)@af\b|(?:uit|van) (?:uw|jullie|je|de|die|deze) (?:\w+)?(?:lijst|lijstje|bestand|mailing|database)",
    r"(?:niet|nooit|niets|niks)(?: meer| weer| opnieuw| langer)@?(?:mail|schrijv|benader|contact|lastig|stur|bericht|app|bel|hor|ontvang|toesturen|toezenden|mailen)[a-z]*",
    r"(?:geen|nul) (?:verdere |nieuwe )?(?:mails?|e-?mails?|berichten|berichtjes|contact|sms|sms'jes|reclame|post|aanbiedingen|nieuwsbrieven|benadering)@?(?:meer|ontvangen|wensen|wil|gewenst)",
    r"(?:stop|hou|houd|houdt|kap|ophouden)[a-z]*@(?:op|met|mailen|mails|berichten|sturen|spam|spammen|sms|mee)\b@?(?:mail|stur|bericht|spam|schrijv|contact|appen)?[a-z]*",
    r"(?:dit|dat|jullie|u|je) (?:is|zijn|bent)@(?:spam|spammers|intimidatie|oplichters?)|(?:meld|rapporteer|blokkeer|aangifte)[a-z]* (?:je|jullie|u|dit|als|wegen)@?(?:spam)?|rot op|flikker op|donder op|oprotten|sodemieter|ga weg\b|hou je (?:bek|mond)",
    // Swedish, Danish, Norwegian
    r"(?:ta bort|plocka bort|radera|stryk|avregistrera|avfor|slet|slett|fjern|meld|afmeld|avmeld|fjerne|slette|slettes|slettet|slettet|strok|stroket|tag|ta|tas|ta av|taget|utelat|tages)@(?:mig|meg|oss|os|min|mitt|mit|mine|mina|var|vart|vart|vores|vare|dette|detta|denne|alle|samtliga|samtlige|oss)@?(?:lista|listan|liste|listen|register|registret|registeret|databas|databasen|database|nummer|nr|adress|adresse|adresser|mailadress|mailadresse|uppgifter|opplysninger|oplysninger|utskick|utsendelse[a-z]*|utskickslista|data|kontakt|system|e-?post[a-z]*|navn|fra|af|av|bort)\b",
    r"(?:radera|slett|slet|slette|fjern|ta bort|stryk|avregistrera) (?:mig|meg|oss|os)\b|(?:afmeld|avmeld|avregistrera|avprenumerera|meld)[a-z]* (?:mig|meg|os|oss|straks|nyhedsbrev|omedelbart|prenumeration)",
    r"(?:inte|ikke|ikkje|aldri|aldrig|aldri|inga|ingen|inget|ikke lenger|slutt)(?: mer| mere| fler| flere| igen| igjen| langre| laengere| lenger| nogensinde| noensinde)*@(?:kontakt|skriv|skicka|send|mejla|maila|maile|ring|messa|sms|hor|forstyrr|stor|motta|modtag|meddelanden|mail|mejl|beskeder|meldinger|besked|e-?post|reklam)[a-z]*",
    r"(?:skriv|kontakta|kontakt|send|skicka|mejla|maila|mail|ring)[a-z]*@(?:inte|ikke|ikkje|aldri|aldrig|ingenting|inget|inga|ingen)@?(?:mer|mere|igen|igjen|flere|fler|langre|langer|lenger|mig|meg)?\b",
    r"(?:vill|vil|onskar|onsker|ynskjer|orker|slippe|slipper|slippa|frabe|frabeder|undanber|ensker)@(?:inte|ikke|ikkje|aldri|aldrig|mig|meg|os|oss|flere|fler|slike|sadana|denne|for|at)@?(?:kontakt|mail|mejl|motta|modtag|ha|hore|hora|fa|henvend|meddel|beskeder|sms|reklam|fremover|mer)[a-z]*",
    r"(?:sluta|slut|slutt|stopp|stop|stoppa|lat bli|lad vaere|la vaere|la vere|opphor|ophor|upphor|hold op|hald opp|lagg av)[a-z]*@(?:skriv|skicka|kontakt|mejla|maila|sende|send|mail|mejl|sms|spam|spamme|spamma|med|beskeder|meldinger|forstyrr|plage|masa|all)[a-z]*",
    r"(?:det(?:ta|te)?|dette|det her|det har|ni|i|dere|du) (?:ar|er)@(?:spam|spammere|spammare|trakasser[a-z]*|chikane|svindlere?|blodsugere|bluff)|(?:anmaler|anmelder|rapporterar|rapporterer|blockerar|blokkerer|blokerer|melder)@(?:er|jer|dere|dig|deg|detta|dette|spam)\b|dra at helvete|ga till? helvete|ga til|hold (?:nu )?kaeft|hald kjeft|hold kjeft|hall kaften|idioter|stikk\b|skrid\b|skam(?:me)? (?:dere|jer|er)",
];

/// Before a demand, in its sentence.
pub(super) const UNMEANT: &str = concat!(
    r"(?:don't|dont|do not|didn't|did not|never|not|isn't|nicht|nie|no|non|ne|pas|nao|niet|inte|ikke|not saying|case of|to tell you to|if|wenn|falls",
    r"|si|se|als|om|hvis|whether|who|why|how|did you|do you|does|can we|we can(?:not|'t)?|cannot|can't|they|customers|people|users|clients|someone",
    r"|have you|i was told to|asked to|used to|forgot to|tried to|wollte|habe|hat|ich habe|ho|he|je viens de|acabo de) (?:\w+ ){0,2}['(]*$",
);
/// A call is asked for in place of texts.
const OTHER_WAY: &str = concat!(
    r"\b(?:just|please|pls|instead|rather|better|and|n|or|can you|u can|but|then|them) (?:call|ring|phone)\b|\b(?:call|ring|phone) (?:me|us) (?:instead|on|at|in)\b",
    r"|pick up the phone|give me a (?:bell|ring|buzz|call)|landline|ring 0|call (?:the|my) (?:shop|office|mobile|cell)|(?:ruf|rufen sie)@an\b|telefonisch|anrufen@(?:bitte|lieber|besser)|(?:lieber|besser)@(?:anruf|telefon|ruf)",
    r"|appelez[- ]|decrochez|appelle[- ]moi|telephonez|llamame|llameme|llamen|por telefono|chiamami|mi chiami|telefonatemi|per telefono|ligue-me|me liga|liguem?\b",
    r"|bel (?:me|mij|ons|even|gerust|liever)|telefonisch|ring (?:mig|meg|meg heller|i stallet|istallet|hellre|heller|hellere)|sla pa traden|a link is enough",
);
/// Things that are sent, removed or cancelled, and are no messages of ours.
pub(super) const THINGS: &str = concat!(
    r"\b(?:grid|hook|pdfs?|bcc|cc|cc line|copy line|agenda|invoices?|old offer|old quote|quote|draft|cohort|free trial|trial|attendance sheet|sign-?up sheet|rota|waiting ?list|attachments?|appendix|invitation|invite|calendar|guest list|raffle|shared folder|basket|cart",
    r"|anhang|anlage|tagesordnung|warteliste|warenkorb|einladung|piece jointe|pieces jointes|ordre du jour|adjuntos?|orden del dia|allegat[oi]|ordine del giorno|anexos?|bijlagen?|bilagan?|vedlegg(?:et)?|bilag(?:et)?|dagsordenen?|dagordningen)\b",
);
/// After a demand, in its sentence: what shall go or end is one of [`THINGS`], it was by mistake,
/// or it is for a time.
pub(super) fn of_things() -> String {
    const BEFORE: &str = concat!(
        r"^(?: (?:me|us|it|sending))?(?:(?: [a-z]+)? (?:from|off|out of|of|aus|von|vom|de|del|du|da|dal|dalla|do|uit|van|av|af|fra|fran))?",
        r"(?: (?:the|your|our|any|more|der|dem|den|la|el|il|le|o|a)(?: [a-z]+)?)? ?(?:[dl]')?",
    );
    const MISTAKE: &str = concat!(
        r"|^[^.!?\n]{0,40}\b(?:(?:after|nach|apres|dopo|despues de|depois das) [0-9]|by mistake|accidentally|versehentlich|par erreur|por error",
        r"|per errore|por engano|per ongeluk|av misstag|ved en fejl|ved en feil)",
    );
    [BEFORE, THINGS, MISTAKE].concat()
}
/// After a phrase, in its sentence: it is about another sender, or about what happens by itself.
pub(super) const ELSEWHERE: &str = concat!(
    r"^(?:s|d|ed|t|e|er|en)?(?: \w+){0,2} (?:from|bij|von|bei|de|da|di|van|fran|fra|hos|chez|en) (?:(?:your|our|a|the|their|my|old|main|biggest|ihrem|ihrer|eurem|unserem|einem|jullie|jouw|uw|een|su|tu|la|el|votre|vos|un|une|vostro|vostra|seu|sua|vosso|er|ert|jeres|deres|en|din) ){0,3}",
    r"(?:competitors?|competition|competing|rivals?|wettbewerber[a-z]*|mitbewerber[a-z]*|konkurren[a-z]*|concurren[a-z]*|competencia|competidor[a-z]*|concorren[a-z]*)\b",
    r"|^(?:ed)? from (?:almost |nearly |about |pretty much |over |around )+(?:everything|everyone|everybody)|^(?:ed)? from (?:almost |nearly |about |pretty much |over |around )*(?:most|others?|another|ten|five|three|forty|dozens|hundreds|your talent)\b",
    r"|^ (?:der|des|de espera|d'attente|d'attesa) |^s? (?:automatically|ourselves)|^(?:@| |s )?(?:rates?|ourselves|automatic)|^ (?:my|our) (?:gran|mother|father|wife|husband|colleague|mum|boss)\b",
);
/// Beside a phrase, in its sentence: a machine tells how to leave its own list.
pub(super) const MACHINE: &str = concat!(
    r"\b(?:click|klick|clique[rz]?|clic|haz clic|clicca|klik|klikk|klicka)[a-z]*\b[^.!?\n]{0,60}\b(?:here|below|link|hier|ici|aqui|qui|har|her|abmeld|unsubscri|desabon|opt)",
    r"|\b(?:unsubscribe|abmelden|desabonner|darse de baja|afmelden)\b[^.!?\n]{0,20}\||\| ?(?:unsubscribe|abmelden)|manage (?:your )?preferences|update your settings",
    r"|\b(?:konnen sie sich|kannst du dich)\b|\b(?:link|lien|enlace|button) (?:below|at the (?:bottom|end|foot)|am ende|in der|en bas|al pie|in fondo|onderaan|nederst|langst)",
);
/// Somewhere in a text: a machine wrote it, or it is a newsletter's.
pub(super) const ACKNOWLEDGEMENT: &str = concat!(
    r"(?:do not|don't|please don't) (?:reply|respond) to this (?:e-?mail|message|mail|address)|nicht auf diese (?:mitteilung|nachricht|e-?mail|mail)|ne pas (?:y )?repondre|no responda a este|non rispond[a-z]+ a quest|nao respond[a-z]+ a est",
    r"|(?:mailbox|inbox|address|account) is (?:unattended|not monitored|unmonitored|not read)|automatic(?:ally)? (?:generated|reply|response)|automatisch (?:generiert|erstellt|versendet|erzeugt)|automated (?:message|reply|response|receipt|notice|mail|e-?mail)",
    r"|(?:we|we've) (?:have )?received your (?:message|request|e-?mail|enquiry|inquiry|mail|application)|your (?:request|message|enquiry|inquiry|e-?mail|ticket|case) (?:has been|was) (?:received|created|logged|opened)|(?:ticket|case|request|reference) (?:id|number|no\.?)? ?#",
    r"|haben ihre (?:nachricht|anfrage|e-?mail|mail)[^.!?\n]{0,20} erhalten|ihre (?:nachricht|anfrage|e-?mail) (?:ist|wurde)|(?:avons|a) bien (?:recu|ete recu)|(?:hemos|ha sido) recibid[oa]|abbiamo ricevuto (?:la|il)|recebemos (?:a sua|o seu|sua|seu)|hebben (?:uw|je) (?:bericht|mail|vraag|aanvraag)|(?:har|vi har) (?:mottagit|modtaget|mottatt) (?:ditt|din|deres)",
    r"|you (?:are )?receiv(?:e|ed|ing) this (?:e-?mail|message|mail|because)|sie erhalten diese|vous recevez ce|recibe este|ricevi quest|recebe est[ea]|u ontvangt|du (?:far|modtager|mottar) (?:detta|denne)|unserer? newsletter|bestatigen sie ihre anmeldung|thank you for (?:contacting|subscribing)",
);

/// How many of [`all`] are opt-outs: the first ones.
pub(super) const CERTAIN_COUNT: usize = CERTAIN.len();

/// The patterns of all demands.
pub(super) fn all() -> impl Iterator<Item = String> {
    let with_gaps = |it: &&str| format!(r"\b(?:{it})").replace('@', GAP);
    CERTAIN.iter().chain(POSSIBLE).map(with_gaps)
}

/// The pattern of a way to reach the lead.
pub(super) fn other_way() -> String {
    OTHER_WAY.replace('@', GAP)
}
