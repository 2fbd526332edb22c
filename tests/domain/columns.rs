//! Columns of the row itself, with their NULLs, on both bases.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn null_rules() {
    for profile in [Profile::Odoo18_0, Profile::Saas18_4] {
        let host = Host::open(profile, &Options::default()).await;
        host.check(
            "sicantik.permit",
            TABLE,
            &[
                ("[('notes','=',False)]", "notes = '' or notes is null"),
                ("[('notes','=','')]", "notes = '' or notes is null"),
                ("[('notes','!=',False)]", "notes <> ''"),
                (
                    "[('notes','!=','Berkas 1')]",
                    "notes <> 'Berkas 1' or notes is null",
                ),
                (
                    "[('notes','in',['Berkas 1',False])]",
                    "notes in ('Berkas 1','') or notes is null",
                ),
                (
                    "[('notes','not in',['Berkas 1',False])]",
                    "notes not in ('Berkas 1','') and notes is not null",
                ),
                (
                    "[('notes','not in',['Berkas 1'])]",
                    "notes <> 'Berkas 1' or notes is null",
                ),
                ("[('notes','in',[])]", "false"),
                ("[('notes','not in',[])]", "true"),
                ("[('notes','<=','')]", "notes <= ''"),
                ("[('notes','ilike','')]", "true"),
                (
                    "[('notes','not ilike','berkas')]",
                    "notes not ilike '%berkas%' or notes is null",
                ),
                ("['!',('notes','=like','B%')]", "not (notes like 'B%')"),
                (
                    "['!',('notes','ilike','b')]",
                    "notes not ilike '%b%' or notes is null",
                ),
                ("[('notes','=like','')]", "notes like '' or notes is null"),
                (
                    "[('days_until_expiry','=',False)]",
                    "days_until_expiry = 0 or days_until_expiry is null",
                ),
                (
                    "[('days_until_expiry','<',20)]",
                    "days_until_expiry < 20 or days_until_expiry is null",
                ),
                ("[('days_until_expiry','>',20)]", "days_until_expiry > 20"),
                (
                    "[('days_until_expiry','>=',0)]",
                    "days_until_expiry >= 0 or days_until_expiry is null",
                ),
                ("[('days_until_expiry','!=',0)]", "days_until_expiry <> 0"),
                ("[('days_until_expiry','>',29.5)]", "days_until_expiry > 29"),
                ("[('days_until_expiry','=','30')]", "days_until_expiry = 30"),
                ("[('days_until_expiry','<',10**20)]", "true"),
                (
                    "[('expiry_notified_90','=',False)]",
                    "expiry_notified_90 is not true",
                ),
                ("[('expiry_notified_90','!=',False)]", "expiry_notified_90"),
                ("[('expiry_notified_90','=',None)]", "expiry_notified_90 is null"),
                ("[('expiry_notified_90','in',[True,False])]", "true"),
                (
                    "[('expiry_notified_90','not in',[True])]",
                    "expiry_notified_90 is not true",
                ),
                ("[('expiry_notified_90','not in',[False])]", "expiry_notified_90"),
                ("[('expiry_notified_90','in',[1,0])]", "expiry_notified_90"),
                ("[('status','=',False)]", "status is null"),
                ("[('status','!=','draft')]", "status <> 'draft'"),
                ("[('expiry_date','=',False)]", "expiry_date is null"),
                (
                    "['!',('expiry_date','<','2026-12-23')]",
                    "expiry_date >= '2026-12-23'",
                ),
                (
                    "[('expiry_date','!=','2026-12-22')]",
                    "expiry_date <> '2026-12-22' or expiry_date is null",
                ),
                (
                    "[('expiry_date','<','2026-12-22 10:00:00')]",
                    "expiry_date < '2026-12-22'",
                ),
                (
                    "[('expiry_date','<=','2026-12-22 10:00:00')]",
                    "expiry_date <= '2026-12-22'",
                ),
                ("[('expiry_date','=','20261222')]", "expiry_date = '2026-12-22'"),
                (
                    "[('expiry_date','<=',context_today())]",
                    "expiry_date <= '2026-12-23'",
                ),
                (
                    "[('expiry_date','<',(context_today() - relativedelta(days=1)).strftime('%Y-%m-%d'))]",
                    "expiry_date < '2026-12-22'",
                ),
                (
                    "[('last_sync_date','<=','2026-11-20')]",
                    "last_sync_date <= '2026-11-20 23:59:59'",
                ),
                (
                    "[('last_sync_date','>','2026-11-20')]",
                    "last_sync_date > '2026-11-20 23:59:59'",
                ),
                (
                    "[('last_sync_date','>=','2026-11-20')]",
                    "last_sync_date >= '2026-11-20'",
                ),
                (
                    "[('last_sync_date','=','2026-11-20')]",
                    "last_sync_date = '2026-11-20'",
                ),
                (
                    "[('last_sync_date','in',['2026-11-20'])]",
                    "last_sync_date = '2026-11-20'",
                ),
                (
                    "[('last_sync_date','!=','2026-11-20')]",
                    "last_sync_date <> '2026-11-20' or last_sync_date is null",
                ),
                (
                    "[('last_sync_date','<',datetime(2026,11,21))]",
                    "last_sync_date < '2026-11-21'",
                ),
                (
                    "[('last_sync_date','<=',date(2026,11,20))]",
                    "last_sync_date <= '2026-11-20 23:59:59.999999'",
                ),
                ("[('id','=','10')]", "t.id = 10"),
                ("[('id','in',[1,2])]", "t.id in (1,2)"),
                ("[('id','!=',False)]", "true"),
                (
                    "['|',('id','=',1),('id','=',2),('status','=','active')]",
                    "t.id in (1,2) and status = 'active'",
                ),
            ],
        )
        .await;
        host.check(
            "res.partner",
            TABLE,
            &[
                ("[('street','ilike','100%')]", "t.id = 10"),
                ("[('street','ilike','É')]", "t.id = 10"),
                ("[('active','=?',False)]", "true"),
                ("[('active','in',[True,False])]", "true"),
                ("[('active','=',False)]", "t.active is not true"),
                ("[('employee','=',True)]", "t.active and employee"),
                ("[('color','=',0)]", "t.active and (color = 0 or color is null)"),
            ],
        )
        .await;
        host.refuse(
            "sicantik.permit",
            &[
                ("[('expiry_date','=','')]", "type"),
                ("[('expiry_date','=','besok')]", "type"),
                ("[('expiry_date','=','22-12-2026')]", "type"),
                ("[('expiry_date','=',True)]", "type"),
                ("[('id','=','abc')]", "type"),
                ("[('id','=',True)]", "type"),
                ("[('id','in',5)]", "type"),
                ("[('days_until_expiry','=','abc')]", "type"),
                ("[('status','in',{'a'})]", "type"),
                ("[('status','in',range(3))]", "type"),
                ("[('partner_id','=',True)]", "type"),
                ("[('partner_id','in',['a',1])]", "type"),
                ("[('state','==','x')]", "domain"),
            ],
        )
        .await;
    }
}
