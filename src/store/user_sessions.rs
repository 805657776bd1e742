//! Sessions of people who have signed in. The row of a session is what others see and end; what its
//! cookie proves is in `http`.

use crate::{
    config::Secret,
    domain::Id,
    store::{
        AuditEntry, Page,
        audit::add,
        engine::{
            Database, StoreError,
            sql::sql,
            tx::{millis, read, write_alone},
        },
    },
};
use sea_orm::{FromQueryResult as _, QueryResult};
use std::{collections::HashSet, time::Duration};

pub use entity::sessions::Model as SessionRow;

/// The most sessions that a user may have begun within the time for which rows are kept. It bounds
/// the table and what is read of it.
const OF_USER_MAX: i64 = 1_000;
/// A use is not written again within this time.
const USE_KEPT: Duration = Duration::from_secs(60);

sql! {
    /// How many sessions a user has, up to `$2`. By `sessions_of_user`.
    static COUNT_SESSIONS =
        "select count(*) as found from (select 1 as one from sessions where user_name = $1 limit $2) mine";

    /// Adds a session, unless there is one with its hash.
    static PUT_SESSION =
        "insert into sessions (id, hash, token_mark, user_name, actor, browser, created_at, used_at, expires_at) \
         values ($1, $2, $3, $4, $5, $6, @now, @now, @in_ms($7)) on conflict (hash) do nothing";

    /// Notes that a session is used. By `sessions_by_hash`.
    static TOUCH_SESSION =
        "update sessions set used_at = @now where hash = $1 and used_at < @in_ms(-$2) returning id";

    /// The hashes of all sessions that were revoked and whose rows are still there. By
    /// `sessions_revoked`.
    static READ_REVOKED = "select hash from sessions where revoked_at is not null";

    /// A session. By primary key.
    static READ_SESSION =
        "select id, hash, token_mark, user_name, actor, browser, created_at, used_at, expires_at, revoked_at \
         from sessions where id = $1";

    /// Sessions before `$1`, newest first. By primary key.
    static LIST_SESSIONS =
        "select id, hash, token_mark, user_name, actor, browser, created_at, used_at, expires_at, revoked_at \
         from sessions where id < $1 order by id desc limit $2";

    /// The same of one user. By `sessions_of_user`.
    static LIST_SESSIONS_OF =
        "select id, hash, token_mark, user_name, actor, browser, created_at, used_at, expires_at, revoked_at \
         from sessions where user_name = $3 and id < $1 order by id desc limit $2";

    /// Revokes a session. By primary key.
    static REVOKE_SESSION =
        "update sessions set revoked_at = @now where id = $1 and revoked_at is null";
}

/// A session that begins.
#[derive(Clone, Debug)]
pub struct NewSession {
    /// SHA-256 of the random part of its cookie, in hex.
    pub hash: String,
    /// SHA-256 of what its cookie says about the token, in hex.
    pub token_mark: String,
    /// The user of the configuration.
    pub user: String,
    /// The name in the audit log.
    pub actor: String,
    /// What the browser says of itself.
    pub browser: String,
    /// How long it lasts, however much it is used.
    pub lasts: Duration,
}

/// What became of a sign-in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionStart {
    /// The session of this id has begun.
    Begun(Id),
    /// There is a session with this hash: a code was used a second time.
    UsedBefore,
    /// The user has as many sessions as one may have.
    TooMany,
}

/// The handle for sessions of people.
#[derive(Clone, Debug)]
pub struct UserSessions {
    pub(super) db: Database,
    /// The key that signs cookies. Each database has its own.
    pub(super) key: Secret,
}

impl UserSessions {
    /// The key that signs cookies, the same for all nodes of the database.
    pub const fn key(&self) -> &Secret {
        &self.key
    }

    /// Begins a session. `entry` becomes its row of the audit log.
    ///
    /// # Errors
    /// If the database is unreachable. Then no session has begun, except if the connection was lost
    /// during the commit: then it is unknown.
    pub async fn begin(
        &self,
        new: NewSession,
        entry: AuditEntry,
    ) -> Result<SessionStart, StoreError> {
        let work = async move |db: Database| {
            let id = db.next_id();
            let NewSession { hash, token_mark, user, actor, browser, lasts } = new;
            db.write("sessions", async |tx| {
                let counted = [user.clone().into(), OF_USER_MAX.into()];
                let counted = tx.all(&COUNT_SESSIONS, counted).await?;
                let count: i64 = counted.first().map_or(Ok(0), |row| row.try_get("", "found"))?;
                if count >= OF_USER_MAX {
                    return Ok(tx.roll_back(SessionStart::TooMany));
                }
                let values = [
                    id.into(),
                    hash.clone().into(),
                    token_mark.clone().into(),
                    user.clone().into(),
                    actor.clone().into(),
                    browser.clone().into(),
                    millis(lasts).into(),
                ];
                if tx.run(&PUT_SESSION, values).await? == 0 {
                    return Ok(tx.roll_back(SessionStart::UsedBefore));
                }
                let entry = AuditEntry { target: Some(id.to_string()), ..entry.clone() };
                add(&tx, &db, &[entry]).await?;
                tx.commit(SessionStart::Begun(id)).await
            })
            .await
        };
        self.db.call(work).await
    }

    /// Notes that a session is used. It is written once a minute at most.
    ///
    /// # Errors
    /// If the database is unreachable.
    pub async fn touch(&self, hash: String) -> Result<(), StoreError> {
        self.db
            .call(|db| async move {
                let values = [hash.into(), millis(USE_KEPT).into()];
                write_alone(&db.connections().writer, &TOUCH_SESSION, values).await?;
                Ok(())
            })
            .await
    }

    /// The hashes of all revoked sessions that may not have expired.
    ///
    /// # Errors
    /// If the database is unreachable.
    pub async fn revoked(&self) -> Result<HashSet<String>, StoreError> {
        self.db
            .call(|db| async move {
                let rows = read(db.api(), &READ_REVOKED, []).await?;
                rows.iter().map(|row| Ok(row.try_get("", "hash")?)).collect()
            })
            .await
    }

    /// A session; `None` if there is none with this id.
    ///
    /// # Errors
    /// If the database is unreachable.
    pub async fn get(&self, id: Id) -> Result<Option<SessionRow>, StoreError> {
        self.db
            .call(|db| async move {
                let rows = read(db.api(), &READ_SESSION, [id.into()]).await?;
                rows.first().map(session).transpose()
            })
            .await
    }

    /// Sessions before `cursor`, newest first: of this user, or of all.
    ///
    /// # Errors
    /// If the database is unreachable.
    pub async fn list(
        &self,
        user: Option<String>,
        limit: usize,
        cursor: Option<Id>,
    ) -> Result<Page<SessionRow>, StoreError> {
        let before = cursor.unwrap_or(Id::MAX);
        let most = i64::try_from(limit + 1).unwrap_or(i64::MAX);
        self.db
            .call(|db| async move {
                let rows = match user {
                    Some(user) => {
                        let values = [before.into(), most.into(), user.into()];
                        read(db.api(), &LIST_SESSIONS_OF, values).await?
                    }
                    None => read(db.api(), &LIST_SESSIONS, [before.into(), most.into()]).await?,
                };
                let rows = rows.iter().map(session).collect::<Result<Vec<_>, _>>()?;
                Ok(Page::cut(rows, limit, |row| row.id))
            })
            .await
    }

    /// Revokes a session. `entry` becomes its row of the audit log. False if it was revoked before,
    /// or there is none with this id: then nothing changes.
    ///
    /// # Errors
    /// As [`Self::begin`].
    pub async fn revoke(&self, id: Id, entry: AuditEntry) -> Result<bool, StoreError> {
        let work = async move |db: Database| {
            db.write("sessions", async |tx| {
                if tx.run(&REVOKE_SESSION, [id.into()]).await? == 0 {
                    return Ok(tx.roll_back(false));
                }
                add(&tx, &db, std::slice::from_ref(&entry)).await?;
                tx.commit(true).await
            })
            .await
        };
        self.db.call(work).await
    }
}

fn session(row: &QueryResult) -> Result<SessionRow, StoreError> {
    Ok(SessionRow::from_query_result(row, "")?)
}
